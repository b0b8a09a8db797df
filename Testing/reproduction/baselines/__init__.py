"""The systems of tables 3 and 4, each one class with fit and predict in the manner of scikit-learn.

    from reproduction.baselines import SYSTEMS, Task
    system = SYSTEMS["LBP + SVM"].make(Task(2, 1, TrainingConfig(), Team(torch.device("cpu"))))
    probabilities = system.fit(pictures, samples, "work").predict_proba(pictures, samples, order)  # (n, C)

All learn from the same prepared slices of the same split, as plain or augmented views of ``views``; ``base`` says what
they share. ``features``, ``svm`` and ``mlp`` make up the ``handcrafted`` ones; ``network`` trains FeCNN and its rivals
``wsnet``, ``decovnet`` and ``covidnet``; ``systems`` lists them all. Formulas only: no code of any rival is copied.
"""

from .baseline import Baseline, Task
from .systems import SYSTEMS, System, find_systems

__all__ = ["SYSTEMS", "Baseline", "System", "Task", "find_systems"]
