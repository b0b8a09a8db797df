#!/usr/bin/env python-real
"""Slicer's command line module for training; LesionAnalysisTrainingLib does the work.

    slicer.cli.run(slicer.modules.lesionanalysistraining, None, {"data": "slices", "output": "my-model"})

The options are those of ``lesion-analysis train``; LesionAnalysisTraining.xml describes them to Slicer.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

DESCRIPTION = Path(__file__).with_suffix(".xml")


def find_libraries():
    """Add both libraries to the path, from a checkout, a build tree, or an installed extension."""
    here = Path(__file__).resolve().parent
    # scripted and command line modules are in different folders; Visual Studio and Xcode add one for Release
    places = [here, here.parent / "LesionAnalysis"]
    places += [above / "qt-scripted-modules" for above in (here.parent, here.parent.parent)]
    # first, so that a copy installed with pip is not mixed with this one
    sys.path[:0] = [str(place) for place in places if place.is_dir()]


def panel_labels():
    """Labels of Slicer's panel by option, such as ``{"--resume": "Continue an unfinished training"}``."""
    parameters = ElementTree.parse(DESCRIPTION).iterfind("parameters/*[longflag]")
    return {f"--{parameter.findtext('longflag')}": parameter.findtext("label") for parameter in parameters}


def missing(error):
    """The message for an ImportError."""
    name = (error.name or "").split(".")[0]
    if not name or name.startswith("LesionAnalysis"):
        return f"A part of Lesion Analysis cannot be loaded ({error}): reinstall the extension."
    return (f"The Python package '{name}' is missing: open the module Lesion Analysis and press Analyze once, which "
            "offers to install what is needed.")  # fmt: skip


def main(argv):
    """Train with the options ``argv``; returns the exit code."""
    if "--xml" in argv:
        print(DESCRIPTION.read_text(encoding="utf-8"))
        return 0
    find_libraries()
    try:
        from LesionAnalysisTrainingLib.train_command import train_main

        return train_main(argv, panel_labels())
    except ImportError as error:  # also of torch, which the library imports late
        print(missing(error), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
