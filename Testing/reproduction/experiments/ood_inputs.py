"""Detection of out-of-distribution input: chest CTs of sources outside the training against everything else.

    python -m reproduction.experiments.ood_inputs [--model MODEL_DIR] [--mr T1.nii.gz] [--every 1]

In distribution: the emphysema set, medseg and two volumes. Out of distribution: abdomen, soft-tissue and bone windows,
coronal and sagittal views, projections and inverted gray levels of all volumes, the photographs of scikit-image and
scikit-learn, noise, and with ``--mr`` slices of an MR of the head. Prints the AUC of the distance and the share flagged
at the model's limit. Images without lungs, which an analysis rejects, are included.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from LesionAnalysisLib.lungs import Preprocessing, segment_image, segment_lungs
from LesionAnalysisLib.lungs.lung_region import LungRegion
from LesionAnalysisLib.lungs.slicing import image_region
from LesionAnalysisLib.model.bundle import ModelBundle
from LesionAnalysisLib.model.out_of_distribution import channel_means, distances
from LesionAnalysisLib.network.devices import Runner, choose_device
from LesionAnalysisLib.volume import read_ct
from LesionAnalysisTrainingLib.dataset import prepare_file
from LesionAnalysisTrainingLib.metrics import auc
from PIL import Image
from reproduction.shared_data import DATA, LEFT_OUT, read_rows
from scipy import ndimage

VOLUMES = ("covid-ct-md_cap_cap001.nii.gz", "ricord-1a_covid_001012.nii.gz")  # not trained on
LUNG, SOFT, BONE = (-1200, 600), (-160, 240), (-450, 1050)  # HU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mr", type=Path, help="an MR of the head, aligned with its axes")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th image")
    args = parser.parse_args()
    bundle = ModelBundle.load(args.model) if args.model else ModelBundle.bundled()
    preprocessing = Preprocessing.from_dict(bundle.preprocessing)
    inputs = {**chest(args.data, preprocessing), **others(args.data, args.mr, preprocessing)}
    found = measured(bundle, {name: make()[:: args.every] for name, make in inputs.items()})
    print_table(found, list(chest(args.data, preprocessing)), bundle.input_statistics["limit"])


def print_table(found: dict[str, np.ndarray], known: list[str], limit: float) -> None:
    """One row per input; the AUC of an out-of-distribution input is against all chest CTs."""
    chests = np.concatenate([found[name] for name in known])
    print("| input | images | flagged | AUC against chest CT |\n|---|---:|---:|---:|")
    rest = np.concatenate([values for name, values in found.items() if name not in known])
    for name, values in [*found.items(), ("all others", rest)]:
        against = "" if name in known else f"{_auc(chests, values):.3f}"
        print(f"| {name} | {len(values)} | {(values > limit).mean():.0%} | {against} |")


def _auc(known: np.ndarray, outside: np.ndarray) -> float:
    return auc(np.repeat([0, 1], [len(known), len(outside)]), np.concatenate([known, outside]))


def measured(bundle: ModelBundle, inputs: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Distances of the images of each input."""
    runner = Runner(bundle.network(), choose_device("auto"))

    def work(network, device: torch.device, portion) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(portion))[:, None].to(device).float() / 255
            return channel_means(network.backbone(batch))

    return {name: distances(np.concatenate([means for _, means in runner.batches(images, work)]),
                            bundle.input_statistics) for name, images in inputs.items()}  # fmt: skip


# -- input images of the network, (size, size) uint8 -----------------------------------------------------


def chest(data: Path, preprocessing: Preprocessing) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Chest CTs of sources outside the training."""
    rows = read_rows(data / "slices" / "manifest.csv")
    left_out = [data / "slices" / row["file"] for row in rows if row["dataset"] in LEFT_OUT]
    medseg = sorted((data / "lesion-masks" / "medseg" / "images").iterdir())
    found = {"emphysema": lambda: _chest_images(left_out, preprocessing),
             "medseg": lambda: _chest_images(medseg, preprocessing)}  # fmt: skip
    for name in VOLUMES:
        path = data / "volumes" / name
        found[name.removesuffix(".nii.gz")] = lambda path=path: _chest_images([path], preprocessing, range(200))
    return found


def others(data: Path, mr: Path | None, preprocessing: Preprocessing) -> dict[str, Callable[[], list[np.ndarray]]]:
    """Everything that is not an axial slice of a chest CT in a lung window."""
    made = _of_volumes(sorted((data / "volumes").glob("*.nii.gz")))
    made |= {"photographs": list(_photographs()), "noise": list(_noise())}
    if mr:
        made["MR of the head"] = list(_head(mr))
    return {name: lambda images=images: _prepared(images, preprocessing) for name, images in made.items()}


def _chest_images(paths: list[Path], preprocessing: Preprocessing, slices=(None,)) -> list[np.ndarray]:
    images = []
    for path in paths:
        count = len(read_ct(path).axial().array) if len(slices) > 1 else 1
        for region in prepare_file(path, list(slices)[:count], preprocessing):
            if isinstance(region, LungRegion):  # else why there is none
                images.append(region.network_input(preprocessing).image)
    return images


def _prepared(images: list[np.ndarray], preprocessing: Preprocessing) -> list[np.ndarray]:
    size, margin, masked = preprocessing.size, preprocessing.margin, preprocessing.mask_images
    regions = (image_region(image, segment_image(image), preprocessing, 0, margin) for image in images)
    return [region.view(size, margin, masked).image for region in regions if region is not None]


def _of_volumes(paths: list[Path]) -> dict[str, list[np.ndarray]]:
    names = ("abdomen", "soft-tissue window", "bone window", "inverted", "coronal", "sagittal", "projection")
    made: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for path in paths:
        ct = read_ct(path)
        axial = ct.axial()
        hu, aspect = axial.array, axial.spacing[2] / axial.spacing[0]
        area = segment_lungs(ct).sum((1, 2))
        made["abdomen"] += [_gray(hu[i], w) for i in np.flatnonzero(area < 0.02 * area.max()) for w in (SOFT, LUNG)]
        for i in np.flatnonzero(area > 0.3 * area.max())[::3]:
            made["soft-tissue window"].append(_gray(hu[i], SOFT))
            made["bone window"].append(_gray(hu[i], BONE))
            made["inverted"].append(255 - _gray(hu[i], LUNG))
        for i in np.linspace(0.3 * len(hu[0]), 0.7 * len(hu[0]), 10).astype(int):
            made["coronal"].append(_resampled(_gray(hu[:, i], LUNG), aspect))
            made["sagittal"].append(_resampled(_gray(hu[:, :, i], LUNG), aspect))
        made["projection"] += [_resampled(_full_range(hu.mean(axis)), aspect) for axis in (1, 2)]
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
        yield _full_range(ndimage.gaussian_filter(rng.normal(size=(256, 256)), width))


def _head(path: Path) -> Iterator[np.ndarray]:
    import SimpleITK as sitk  # noqa: N813

    head = _full_range(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float))
    for axis, count in ((0, 20), (1, 10), (2, 10)):
        for i in np.linspace(0.2, 0.8, count) * head.shape[axis]:
            yield np.take(head, int(i), axis)[::-1]


def _gray(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def _full_range(values: np.ndarray) -> np.ndarray:
    return _gray(values, tuple(np.percentile(values, (1, 99.5))))


def _resampled(image: np.ndarray, aspect: float) -> np.ndarray:
    size = image.shape[1], max(16, round(len(image) * aspect))
    return np.asarray(Image.fromarray(image[::-1]).resize(size, Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
