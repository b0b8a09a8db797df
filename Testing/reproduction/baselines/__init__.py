"""The systems of tables 3 and 4, each a class with ``fit`` and ``predict_proba`` as in scikit-learn.

    from reproduction.baselines import SYSTEMS, Task
    system = SYSTEMS["LBP + SVM"].make(Task(2, 1, TrainingConfig(), ProcessGroup(torch.device("cpu"))))
    probabilities = system.fit(regions, samples, "work").predict_proba(regions, samples, order)  # (n, C)

All learn from the same prepared slices of the same split. ``handcrafted`` combines ``handcrafted_features`` with
``svm`` or ``mlp``; ``network_baseline`` trains FeCNN, ``wsnet``, ``decovnet`` and ``covidnet``; ``systems`` lists them.
They are implemented from the publications; no code of the original systems is used.
"""

from .baseline import Baseline, Task
from .systems import SYSTEMS, System, find_systems

__all__ = ["SYSTEMS", "Baseline", "System", "Task", "find_systems"]
