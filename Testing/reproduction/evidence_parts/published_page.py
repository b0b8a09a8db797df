"""What the paper printed in figure 6 and tables 5 to 8, as far as it is possible (tables 3 and 4: compare.published).

Left out, because they contradict other figures of the paper (METHOD, "Evaluation"): the accuracy on Own, the printed
specificities of table 7, the sensitivities and specificities of CNCB, and the totals of the three-way data.
"""

from __future__ import annotations

# figure 6 and section 5.1: AUC, AP
AREAS = {"Radio-2": (0.89, None), "Own": (0.90, 0.95), "COVIDx2a": (1.00, 0.99)}

# hit rates of LAM by threshold .1 to .9, and of its rivals at .5
DETECTION_DATA = ("Radio-2", "COVIDx2a (CNCB)", "Own")
TABLE_5 = {
    0.1: (0.724, 0.753, 0.741), 0.2: (0.705, 0.745, 0.723), 0.3: (0.685, 0.735, 0.665), 0.4: (0.648, 0.698, 0.653),
    0.5: (0.632, 0.683, 0.653), 0.6: (0.607, 0.592, 0.527), 0.7: (0.506, 0.503, 0.402), 0.8: (0.452, 0.331, 0.209),
    0.9: (0.302, 0.279, 0.158),
}  # fmt: skip
TABLE_6 = {"lam": (0.632, 0.683, 0.653), "cam": (0.358, 0.458, 0.385), "normgrad": (0.342, 0.431, 0.414)}

# lesions of Own: what was called (rows) and what was true (columns, see METHOD), in the order of TYPES
TYPES = ("ground glass", "partial consolidation", "consolidation")
TABLE_7 = ((51, 3, 1), (2, 4, 1), (1, 2, 12))
CNCB_RIGHT, CNCB_LESIONS = 541 + 199, 862  # with two clusters

# accuracy of COVID-19, normal, other pneumonia by threshold, and over all
THREE_CLASSES = ("COVID-19", "normal", "pneumonia")
TABLE_8 = {
    0.1: (0.934, 0.958, 0.957), 0.2: (0.934, 0.958, 0.957), 0.3: (0.934, 0.958, 0.957), 0.4: (0.934, 0.958, 0.957),
    0.5: (0.933, 0.957, 0.956), 0.6: (0.925, 0.949, 0.947), 0.7: (0.918, 0.939, 0.936), 0.8: (0.910, 0.922, 0.923),
    0.9: (0.895, 0.891, 0.898),
}  # fmt: skip
THREE_WAY_ACCURACY = 0.95

LUNG_DICE = 0.82  # section 6.1
