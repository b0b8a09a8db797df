"""Does the model notice what it does not know? Chest CTs of sources without training against all else.

    python -m reproduction.unlike_inputs [--model MODEL_DIR] [--mr T1.nii.gz] [--every 1]

Known should be: the emphysema set, medseg, and two volumes. Unknown should be what is made here of all volumes
(abdomen, soft-tissue and bone windows, coronal and sagittal views, projections, inverted gray_levels), photographs that come
with scikit-image and scikit-learn, noise, and with ``--mr`` slices of an MR of the head. Prints the AUROC of the
distance, and what is flagged at the model's limit. An analysis judges no picture without lungs; here all are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from reproduction.shared_data import DATA, LEFT_OUT, read_rows

from LesionAnalysisLib.network.devices import choose_device, Runner  # isort: skip
from LesionAnalysisLib.lungs import Preprocessing, prepare_image, segment_lungs
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.out_of_distribution import channel_means, distances
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.augmentation import view
from LesionAnalysisTrainingLib.dataset import prepare_file
from LesionAnalysisTrainingLib.metrics import auc

VOLUMES = ("covid-ct-md_cap_cap001.nii.gz", "ricord-1a_covid_001012.nii.gz")  # no training data of the bundled model
LUNG, SOFT, BONE = (-1200, 600), (-160, 240), (-450, 1050)  # HU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mr", type=Path, help="an MR of the head, axes along the head's")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at each N-th picture")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    preprocessing = Preprocessing.from_dict(bundle.preprocessing)
    kinds = {**chest(args.data, preprocessing), **others(args.data, args.mr, preprocessing)}
    found = measured(bundle, {name: make()[:: args.every] for name, make in kinds.items()})
    print_table(found, list(chest(args.data, preprocessing)), bundle.input_statistics["limit"])


def print_table(found: dict[str, np.ndarray], known: list[str], limit: float) -> None:
    """One row a kind; the AUROC of an unlike kind is against all chest CTs."""
    chests = np.concatenate([found[name] for name in known])
    print("| input | pictures | flagged | AUROC against chest CT |\n|---|---:|---:|---:|")
    rest = np.concatenate([values for name, values in found.items() if name not in known])
    for name, values in [*found.items(), ("all others", rest)]:
        against = "" if name in known else f"{_auroc(chests, values):.3f}"
        print(f"| {name} | {len(values)} | {(values > limit).mean():.0%} | {against} |")


def _auroc(known: np.ndarray, strange: np.ndarray) -> float:
    return auc(np.repeat([0, 1], [len(known), len(strange)]), np.concatenate([known, strange]))


def measured(bundle: ModelBundle, kinds: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Distances of the pictures, by kind."""
    runner = Runner(bundle.network(), choose_device("auto"))

    def work(network, device: torch.device, portion) -> np.ndarray:
        with torch.inference_mode():
            shown = torch.from_numpy(np.stack(portion))[:, None].to(device).float() / 255
            return channel_means(network.backbone(shown), bundle.input_statistics)

    return {name: distances(np.concatenate([means for _, means in runner.batches(pictures, work)]),
                            bundle.input_statistics) for name, pictures in kinds.items()}  # fmt: skip


# -- pictures as the network sees them, (size, size) uint8 -----------------------------------------------------


def chest(data: Path, preprocessing: Preprocessing) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Chest CTs of sources that took no part in the training."""
    rows = read_rows(data / "slices" / "manifest.csv")
    left_out = [data / "slices" / row["file"] for row in rows if row["dataset"] in LEFT_OUT]
    drawn = sorted((data / "lesion-masks" / "medseg" / "images").iterdir())
    found = {"emphysema": lambda: _seen(left_out, preprocessing), "medseg": lambda: _seen(drawn, preprocessing)}
    for name in VOLUMES:
        path = data / "volumes" / name
        found[name.removesuffix(".nii.gz")] = lambda path=path: _seen([path], preprocessing, range(200))
    return found


def others(data: Path, mr: Path | None, preprocessing: Preprocessing) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Everything that is no axial slice of a chest CT in a lung window."""
    made = _of_volumes(sorted((data / "volumes").glob("*.nii.gz")))
    made |= {"photographs": list(_photographs()), "noise": list(_noise())}
    if mr:
        made["MR of the head"] = list(_head(mr))
    return {name: lambda pictures=pictures: _prepared(pictures, preprocessing) for name, pictures in made.items()}


def _seen(paths: list[Path], preprocessing: Preprocessing, slices=(None,)) -> list[np.ndarray]:
    found = []
    for path in paths:
        count = len(read_ct(path).axial().array) if len(slices) > 1 else 1
        for one in prepare_file(path, list(slices)[:count], preprocessing):
            if one is not None:
                masked = preprocessing.mask_lungs if one.calibrated else preprocessing.mask_images
                found.append(view(one, preprocessing.size, preprocessing.margin, None, None, masked))
    return found


def _prepared(pictures: list[np.ndarray], preprocessing: Preprocessing) -> list[np.ndarray]:
    found = (prepare_image(picture, preprocessing) for picture in pictures)
    return [one.image for one in found if one is not None]


def _of_volumes(paths: list[Path]) -> dict[str, list[np.ndarray]]:
    names = ("abdomen", "soft-tissue window", "bone window", "inverted", "coronal", "sagittal", "projection")
    made: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for path in paths:
        ct = read_ct(path)
        axial = ct.axial()
        hu, stretch = axial.array, axial.spacing[2] / axial.spacing[0]
        area = segment_lungs(ct).sum((1, 2))
        made["abdomen"] += [_gray(hu[i], w) for i in np.flatnonzero(area < 0.02 * area.max()) for w in (SOFT, LUNG)]
        for i in np.flatnonzero(area > 0.3 * area.max())[::3]:
            made["soft-tissue window"].append(_gray(hu[i], SOFT))
            made["bone window"].append(_gray(hu[i], BONE))
            made["inverted"].append(255 - _gray(hu[i], LUNG))
        for i in np.linspace(0.3 * len(hu[0]), 0.7 * len(hu[0]), 10).astype(int):
            made["coronal"].append(_upright(_gray(hu[:, i], LUNG), stretch))
            made["sagittal"].append(_upright(_gray(hu[:, :, i], LUNG), stretch))
        made["projection"] += [_upright(_spread(hu.mean(axis)), stretch) for axis in (1, 2)]
    return made


def _photographs() -> Iterator[np.ndarray]:
    import skimage
    import sklearn

    places = [Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"]
    for path in sorted(p for place in places for p in place.iterdir() if p.suffix in (".png", ".jpg", ".jpeg")):
        with Image.open(path) as image:
            if min(image.size) >= 128:
                yield np.asarray(image.convert("L"))


def _noise() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for width in (0, 1, 2, 4, 8, 16) * 4:
        yield _spread(ndimage.gaussian_filter(rng.normal(size=(256, 256)), width))


def _head(path: Path) -> Iterator[np.ndarray]:
    import SimpleITK as sitk  # noqa: N813

    head = _spread(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float))
    for axis, count in ((0, 20), (1, 10), (2, 10)):
        for i in np.linspace(0.2, 0.8, count) * head.shape[axis]:
            yield np.take(head, int(i), axis)[::-1]


def _gray(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def _spread(values: np.ndarray) -> np.ndarray:
    return _gray(values, tuple(np.percentile(values, (1, 99.5))))


def _upright(picture: np.ndarray, stretch: float) -> np.ndarray:
    size = picture.shape[1], max(16, round(len(picture) * stretch))
    return np.asarray(Image.fromarray(picture[::-1]).resize(size, Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
