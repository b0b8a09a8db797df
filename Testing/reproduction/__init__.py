"""Reproduction of the paper's evidence: rival systems, experiments, measured tables; not installed.

Run from ``Testing``: ``python -m reproduction.evidence --output DIR``.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LesionAnalysis"), str(ROOT / "LesionAnalysisTraining")]
