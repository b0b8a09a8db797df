"""The evidence page ``docs/evidence.md``: measuring, the measured figures as CSV, and the text of the page.

``measure_evidence`` runs all evaluations, ``measured_csv`` converts their results to ``measured/*.csv``, and
``evidence_page`` writes the page from these files alone.
"""
