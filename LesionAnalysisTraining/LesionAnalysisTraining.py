#!/usr/bin/env python-real
"""Slicer's command line module for retraining; everything happens in LesionAnalysisTrainingLib.

    slicer.cli.run(slicer.modules.lesionanalysistraining, None, {"data": "slices", "output": "my-model"})

The same options as ``lesion-analysis train``; LesionAnalysisTraining.xml beside this file describes them to Slicer.
"""

import sys
from pathlib import Path


def find_libraries():
    """Put both libraries on the path: of a checkout, a build tree, or an installed extension."""
    here = Path(__file__).resolve().parent
    # a scripted module and a command line module go to different folders; Visual Studio and Xcode add one for Release
    places = [here, here.parent / "LesionAnalysis"]
    places += [above / "qt-scripted-modules" for above in (here.parent, here.parent.parent)]
    for place in places:
        if place.is_dir() and str(place) not in sys.path:
            sys.path.append(str(place))


def main(argv):
    """Train as the options say; returns the exit code."""
    if "--xml" in argv:
        print(Path(__file__).with_suffix(".xml").read_text(encoding="utf-8"))
        return 0
    find_libraries()
    try:
        from LesionAnalysisTrainingLib.cli import train_main
    except ImportError as error:
        print(f"The Python package '{(error.name or str(error)).split('.')[0]}' is missing: open the module Lesion "
              "Analysis and press Analyze once, which offers to install what is needed.", file=sys.stderr)  # fmt: skip
        return 2
    return train_main(argv, slicer=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
