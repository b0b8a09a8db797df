"""Reproduction of the paper's results: competing systems, experiments, measured figures; not installed.

Run from the folder ``Testing``, for instance ``python -m reproduction.evidence.evidence_page``; see README.md.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LesionAnalysis"), str(ROOT / "LesionAnalysisTraining")]
