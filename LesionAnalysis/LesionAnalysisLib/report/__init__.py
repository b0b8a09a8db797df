"""Analysis -> files: ``analysis.json``, CSV tables, the HTML report."""

from .html_report import write_html
from .json_csv import SCHEMA, to_json, write_json, write_lesions_csv, write_slices_csv
from .wording import study_words

__all__ = ["SCHEMA", "study_words", "to_json", "write_html", "write_json", "write_lesions_csv", "write_slices_csv"]
