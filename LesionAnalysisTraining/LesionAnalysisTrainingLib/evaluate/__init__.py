"""``lesion-analysis evaluate``: the measurements of sections 4.3, 5 and 6 of the paper on any labeled data.

    lesion-analysis evaluate diagnosis DATA --model M --output DIR

Each of ``diagnosis`` (figure 6, tables 3 and 8), ``detection`` (tables 5 and 6, figures 5, 7 and 8), ``identification``
(table 7, figures 9 and 10) and ``lung_masks`` (section 6.1) returns a ``Report``, which ``report_folder`` writes.
"""
