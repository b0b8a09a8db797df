"""Analysis -> files: ``analysis.json``, tables, the LAM volume, one HTML page, a batch summary.

``write_case`` writes one case folder, all or nothing; ``Summary`` keeps the table of a whole batch.
"""

from .case import FILES, SCENE, case_files, check_target, write_case, write_volume
from .html import write_html
from .json_csv import SCHEMA, to_json, write_json, write_lesions_csv, write_slices_csv
from .summary import Summary
from .words import probability_words

__all__ = [
    "FILES",
    "SCENE",
    "SCHEMA",
    "Summary",
    "case_files",
    "check_target",
    "probability_words",
    "to_json",
    "write_case",
    "write_html",
    "write_json",
    "write_lesions_csv",
    "write_slices_csv",
    "write_volume",
]
