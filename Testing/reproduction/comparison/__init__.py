"""``lesion-analysis compare``: every system of tables 3 and 4 on the same split of the same slices.

``data`` is the beginning, ``runs`` trains one system after the other, ``published`` holds the paper's figures,
``report`` makes tables and plots of the results, ``main`` is the door.
"""
