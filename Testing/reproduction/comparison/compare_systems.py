"""All systems of the paper's tables 3 and 4 on ``../shared/data``.

    python -m reproduction.comparison.compare_systems --output DIR [any option of compare_command]

They are tested on COVID-CT's official validation list, one whole scan of radiopaedia, and a fifth of the patients of
the other sources. The default budget fits two CPU cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reproduction.shared_data import DATA, link_slices

from .compare_command import compare_main

BUDGET = ["--sizes", "128", "--epochs", "3", "--slices-per-epoch", "600", "--validation-share", "0.1",
          "--test-share", "0.2", "--mixed-patients"]  # fmt: skip


def main() -> int:
    options = sys.argv[1:]
    if "--output" not in options:
        raise SystemExit(__doc__)
    output = Path(options[options.index("--output") + 1])
    folder = link_slices(DATA, output.with_name(f"{output.name}.data"), judged="test")
    weights = next((DATA / "weights").glob("resnet50*.pth"))
    return compare_main([str(folder), "--weights", str(weights), *BUDGET, *options])


if __name__ == "__main__":
    sys.exit(main())
