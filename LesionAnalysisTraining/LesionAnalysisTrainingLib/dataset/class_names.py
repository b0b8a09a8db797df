"""The classes: their names and order, and which of them is the disease."""

from __future__ import annotations

from collections.abc import Iterable

from LesionAnalysisLib.model.folder import is_plain

from .data_files import listed

_DISEASE = {
    "covid", "covid19", "covid19positive", "covidpositive", "covid19pneumonia", "covidpneumonia", "ctcovid",
    "ctcovid19", "sarscov2", "positive", "infected", "disease", "1",
}  # fmt: skip
_SPLIT_NAMES = {"train", "training", "val", "validation", "test"}
NUMBERS = ("0", "1")  # in slice_labels.csv: without and with disease


def order_classes(names: Iterable[str], disease: str | None) -> tuple[str, ...]:
    """Two or three class names in the order of their indices: the disease comes last.

    Raises ValueError for one class or more than three, or if it is not clear which is the disease.
    """
    names = sorted(set(names))
    odd = [ascii(name) for name in names if not is_plain(name)]
    if odd:
        raise ValueError(f"The classes {listed(odd)} have names with characters that cannot be displayed: rename them.")
    if len(names) == 1:
        raise ValueError(f"There is only one class, {listed(names)}: add slices of a second one, each class in a "
                         "folder of its own.")  # fmt: skip
    if {name.casefold() for name in names} <= _SPLIT_NAMES:
        raise ValueError(f"The folders {listed(names)} look like splits, not classes: give folders of the classes, "
                         "or a manifest.csv with the column split.")  # fmt: skip
    if len(names) > 3:
        raise ValueError(f"There are {len(names)} classes ({listed(names)}): give two or three.")
    last = find_disease(names, disease)
    return (*(name for name in names if name != last), last)


def find_disease(names: Iterable[str], disease: str | None) -> str:
    """The one of ``names`` that equals ``disease``, or that is named like COVID-19 if that is None.

    Raises ValueError if none or several do.
    """
    names = list(names)
    if disease is not None:
        found = [n for n in names if n == disease] or [n for n in names if n.casefold() == disease.casefold()]
        if len(found) != 1:
            raise ValueError(f"There is no class '{disease}': the disease must be one of {listed(names)}.")
        return found[0]
    found = [n for n in names if "".join(c for c in n.casefold() if c.isalnum()) in _DISEASE]
    if len(found) != 1:
        reason = "several are named like COVID-19" if found else "none is named like COVID-19"
        raise ValueError(f"It is not clear which of the classes {listed(names)} is the disease, since {reason}: "
                         "name it with --disease.")  # fmt: skip
    return found[0]


def name_numbers(named: set[str], bare_folders: set[str], numbers: set[str],
                 disease: str | None) -> tuple[set[str], dict[str, str]]:  # fmt: skip
    """All class names, and what the 0 and 1 of slice_labels.csv stand for.

    ``named`` come from folders, manifests and slice labels, ``numbers`` are the 0 and 1 that occur, ``bare_folders``
    hold only volumes with slice labels: they are classes only if they are named like the two classes.
    Raises ValueError if there are not two classes for which 0 and 1 could stand.
    """
    if not numbers or numbers <= named:
        return named, {}
    if not named and len(bare_folders) == 2 and _has_disease(bare_folders, disease):
        named = bare_folders
    elif len(named) == 1 and not _has_disease(named, disease):
        named = named | {n for n in bare_folders if _has_disease({n}, disease)}
    if not named:
        return set(numbers), {}
    if len(named) != 2:
        raise ValueError(f"slice_labels.csv has the labels 0 and 1, but the classes are {listed(sorted(named))}: "
                         "write the names of the classes instead of numbers.")  # fmt: skip
    return named, dict(zip(NUMBERS, order_classes(named, disease), strict=True))


def _has_disease(names: set[str], disease: str | None) -> bool:
    try:
        find_disease(names, disease)
    except ValueError:
        return False
    return True
