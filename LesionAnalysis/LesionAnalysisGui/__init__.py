"""The parts of the panel of the LesionAnalysis module, one file for each part that a user sees.

Only these and ``LesionAnalysis.py`` depend on Qt and on Slicer; ``LesionAnalysisLib`` depends on neither.
Widgets are used through their Qt properties and signals, as PythonQt exposes them.
"""
