"""``lesion-analysis evaluate``: the measurements of sections 4.3, 5 and 6 of the paper on any data of the user's.

    lesion-analysis evaluate diagnosis DATA --model M --output DIR

``main`` is the door and reads the options. One file measures one thing: ``diagnosis`` (figure 6, tables 3 and 8),
``detection`` (tables 5 and 6, figures 5, 7 and 8), ``identification`` (table 7, figures 9 and 10), ``lungs``
(section 6.1). Each returns a ``Report`` (``report``), which ``output`` writes as a whole or not at all, with its
``tables`` as CSV, its plots and one HTML ``page``. ``slices`` gives models' probabilities of labeled slices, ``pairs``
finds pictures with their masks, ``maps`` shows what a model sees in one picture, ``drawings`` draws it.
"""
