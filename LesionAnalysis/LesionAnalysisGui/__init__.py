"""What the panel of the LesionAnalysis module is made of: one file for each part that a user sees.

Qt and Slicer live here and in ``LesionAnalysis.py``; the analysis itself knows neither (``LesionAnalysisLib``).
Widgets are used by their Qt properties and signals only, as PythonQt offers them.
"""
