"""Trains and tests every system of tables 3 and 4 on the same split of the same slices.

``compare_command`` parses the options, ``comparison_data`` prepares the slices, ``comparison_runs`` trains one system
after the other, and ``comparison_report`` makes tables and plots. ``compare_systems`` runs all on ``../shared/data``.
"""
