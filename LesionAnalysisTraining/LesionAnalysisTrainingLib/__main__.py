"""``python -m LesionAnalysisTrainingLib train ...``, which ``torchrun -m`` starts on every GPU."""

import sys

from LesionAnalysisLib.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
