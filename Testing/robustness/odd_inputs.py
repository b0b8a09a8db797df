"""Inputs as hospitals have them: damaged, odd, of another kind, or just unusual; each with how it has to end.

``INPUTS`` maps a name to an ``Odd``. Volumes derive from one small synthetic chest, so that all is made in seconds.
"""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import permutations, product
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from helpers_volume import nifti, patch, write_series
from LesionAnalysisLib.phantom import make_phantom
from PIL import Image
from scipy import ndimage

GOOD, REFUSED, EITHER = "good", "refused", "either"
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
SPACING = np.array([3.6, 3.6, 15.0])


@dataclass(frozen=True)
class Odd:
    """One input.

    write: puts it into a folder and gives the path to analyze.
    ends: ``GOOD``: a result; ``REFUSED``: one sentence; ``EITHER``, where damage may go unnoticed by any reader.
    says: a pattern in the warnings of a result, or in the sentence.
    matrix: the IJK-to-RAS matrix that the result must have, where it is known beforehand.
    """

    write: Callable[[Path], Path]
    ends: str = GOOD
    says: str = ""
    matrix: np.ndarray | None = None


INPUTS: dict[str, Odd] = {}


def add(name: str, write: Callable[[Path], Path], ends: str = GOOD, says: str = "", matrix=None) -> None:
    assert name not in INPUTS, name
    INPUTS[name] = Odd(write, ends, says, matrix)


@cache
def chest() -> np.ndarray:
    """(K, J, I) int16 HU with lesions, from feet to head, right to left and front to back as in LPS."""
    return make_phantom((20, 96, 96), tuple(SPACING)).ct.array


def save(array: np.ndarray, folder: Path, name: str = "ct.nii.gz", spacing=SPACING, direction=None, **keys) -> Path:
    """A file of the array (K, J, I) by SimpleITK; spacing and direction are those of LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), **keys)
    image.SetSpacing([float(s) for s in spacing][: image.GetDimension()])
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    sitk.WriteImage(image, str(folder / name))
    return folder / name


def of(change: Callable[[np.ndarray], np.ndarray], folder: Path, **keys) -> Path:
    return save(change(chest().copy()), folder, **keys)


# -- damaged files ---------------------------------------------------------------------------------------------


def cut(suffix: str, share: float, folder: Path) -> Path:
    path = save(chest(), folder, f"ct{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def flipped(suffix: str, seed: int, span: int | None, folder: Path) -> Path:
    """Eight bits of the first ``span`` bytes are turned over."""
    path = save(chest(), folder, f"ct{suffix}")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(span or len(data), len(data)), 8):
        data[place] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    return path


def other_order(folder: Path) -> Path:
    path = folder / "ct.nii"
    path.write_bytes(nifti(chest(), ">", 1))
    return path


def header_only(fields: tuple, suffix: str, folder: Path) -> Path:
    """A NIfTI whose header says something that its data do not keep; ``fields`` are (offset, form, values...)."""
    path = save(chest(), folder, "ct.nii")
    for offset, form, *values in fields:
        patch(path, offset, form, *values)
    if suffix == ".nii.gz":
        (folder / "ct.nii.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path = folder / "ct.nii.gz"
    return path


def bomb(folder: Path) -> Path:
    """One gigabyte of zeros in a megabyte, as a NIfTI of 8-bit voxels."""
    path = header_only(((40, "<8h", 3, 1024, 1024, 1000, 1, 1, 1, 1), (70, "<2h", 2, 8)), ".nii", folder)
    with gzip.open(folder / "bomb.nii.gz", "wb", 1) as file:
        file.write(path.read_bytes()[:352])
        for _ in range(1000):
            file.write(bytes(1024 * 1024))
    return folder / "bomb.nii.gz"


for suffix, share in product(SUFFIXES, (0.0, 0.005, 0.3, 0.9, 0.999)):
    add(f"cut to {share:.1%} {suffix}", partial(cut, suffix, share), REFUSED)
for suffix, seed in product(SUFFIXES, range(5)):
    add(f"bits of the header turned {suffix} {seed}", partial(flipped, suffix, seed, 300), EITHER)
for suffix, seed in product(SUFFIXES, range(2)):
    add(f"bits turned {suffix} {seed}", partial(flipped, suffix, seed + 50, None), EITHER)
add("big-endian NIfTI", other_order)
for name, fields in {
    "an axis of no voxels": ((40, "<8h", 3, 96, 0, 20, 1, 1, 1, 1),),
    "a negative axis": ((40, "<8h", 3, 96, -96, 20, 1, 1, 1, 1),),
    "60,000 cubed": ((40, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1),),
    "no spacing": ((76, "<8f", 1, 0, 0, 0, 0, 0, 0, 0), (252, "<2h", 0, 0)),
    "spacing that is no number": ((76, "<8f", 1, *[float("nan")] * 3, 0, 0, 0, 0), (252, "<2h", 0, 0)),
    "an unknown number type": ((70, "<2h", 1792, 256),),
    "a wrong offset of the data": ((108, "<f", 1e9),),
    "a slope that is no number": ((112, "<2f", float("inf"), 0.0),),
    "a singular matrix": ((254, "<h", 1), (280, "<12f", *[0.0] * 12)),
}.items():
    ends = EITHER if "matrix" in name else REFUSED
    for suffix in (".nii", ".nii.gz"):
        add(f"{name} {suffix}", partial(header_only, fields, suffix), ends)
add("a slope of 0 counts as none", partial(header_only, ((112, "<2f", 0.0, 5.0),), ".nii"))
add("a gigabyte of zeros in a small file", bomb, REFUSED)


# -- values ----------------------------------------------------------------------------------------------------


def typed(dtype: str, suffix: str, folder: Path) -> Path:
    values = chest().astype(dtype) if np.dtype(dtype).kind != "u" else (chest() + 1024).clip(0).astype(dtype)
    return save(values, folder, f"ct{suffix}")


def padded(value: int, hu: np.ndarray) -> np.ndarray:
    rows, columns = np.ogrid[:96, :96]
    hu[:, (rows - 47.5) ** 2 + (columns - 47.5) ** 2 > 47**2] = value
    return hu


def with_value(value: float, hu: np.ndarray) -> np.ndarray:
    hu = hu.astype(np.float32)
    hu[10, 40:44, 40:44] = value
    return hu


def metal(hu: np.ndarray) -> np.ndarray:
    hu[8:12, 45:50, 60:64] = 30000
    hu[8:12, ::7, 60:64] = -1024  # streaks
    return hu


for dtype, suffix in product(("int16", "int32", "float32", "float64", "int64"), (".nii.gz", ".nrrd")):
    if (dtype, suffix) != ("int64", ".nrrd"):
        add(f"stored as {dtype} {suffix}", partial(typed, dtype, suffix))
for dtype in ("uint16", "uint32"):
    add(f"stored as {dtype}, offset of 1024 forgotten", partial(typed, dtype, ".nii.gz"), GOOD, "1024")
add("stored as int8", lambda f: save((chest() // 16).astype(np.int8), f), REFUSED)
add("stored as uint8", lambda f: save(((chest() + 1024) // 16).clip(0, 255).astype(np.uint8), f), REFUSED)
for value in (-3024, -2000, -1024, -32768):
    add(f"padding of {value}", partial(of, partial(padded, value)))
for value in (float("nan"), float("inf"), -float("inf")):
    add(f"a region of {value}", partial(of, partial(with_value, value)), REFUSED)
add("metal", partial(of, metal))
add("a whole volume of one value", partial(of, lambda hu: hu * 0 - 1000), REFUSED)
add("water", partial(of, lambda hu: hu * 0), REFUSED)
add("noise", lambda f: save(np.random.default_rng(0).integers(-1000, 1000, (20, 96, 96)).astype(np.int16), f), EITHER)
add("HU times 1000", lambda f: save(chest().astype(np.float32) * 1000, f), REFUSED)
add("intensities of 0 to 1", lambda f: save((chest() + 1024).astype(np.float32) / 4096, f), REFUSED)
add("MR-like intensities", lambda f: save((chest().astype(np.int32) + 1200).clip(0).astype(np.int16) // 3, f), EITHER)


# -- geometry --------------------------------------------------------------------------------------------------

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def turned(order: tuple[int, ...], signs: tuple[int, ...], folder: Path) -> Path:
    """The same chest with its axes stored in another order and direction."""
    direction = np.zeros((3, 3))
    array = chest().transpose([2 - order[2 - k] for k in range(3)])  # array axes run from K to I
    for stored, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        direction[axis, stored] = sign
        if sign < 0:
            array = np.flip(array, 2 - stored)
    return save(array, folder, spacing=SPACING[list(order)], direction=direction)


def matrix_of(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    matrix = np.zeros((3, 3))
    for stored, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[axis, stored] = sign * SPACING[axis]
    return _LPS_TO_RAS @ matrix


def rotation(degrees: float, axes: tuple[int, int]) -> np.ndarray:
    matrix, (i, j) = np.eye(3), axes
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def forms_disagree(folder: Path) -> Path:
    """sform and qform say different things: the sform counts, as in Slicer."""
    path = save(chest(), folder, "ct.nii")
    patch(path, 280, "<12f", -3.6, 0, 0, 7, 0, -3.6, 0, 8, 0, 0, 15, 9)
    patch(path, 254, "<h", 1)
    return path


def resliced(count: int, folder: Path, side: int = 96, name: str = "ct.nii.gz") -> Path:
    """The same chest in ``count`` slices of ``side`` rows and columns."""
    zoom = (count / 20, side / 96, side / 96)
    array = ndimage.zoom(chest(), zoom, order=0)
    return save(array, folder, name, spacing=SPACING / np.array(zoom)[::-1])


def scaled(factors: tuple[float, float, float], folder: Path) -> Path:
    return save(chest(), folder, spacing=SPACING * np.array(factors))


for order in permutations(range(3)):
    for signs in product((1, -1), repeat=3):
        letters = "".join("LPS"[a] if s > 0 else "RAI"[a] for a, s in zip(order, signs, strict=True))
        add(f"axes stored as {letters}", partial(turned, order, signs), GOOD, "", matrix_of(order, signs))
for degrees, axes in ((5, (0, 1)), (20, (0, 2)), (20, (1, 2)), (40, (0, 1))):
    add(f"turned by {degrees} degrees in {axes}",
        lambda f, d=degrees, a=axes: save(chest(), f, direction=rotation(d, a)),
        GOOD, "", _LPS_TO_RAS @ rotation(degrees, axes) @ np.diag(SPACING))  # fmt: skip
add("sform against qform", forms_disagree, GOOD, "", np.diag([-3.6, -3.6, 15.0]))
for count in (1, 2, 3, 7):
    add(f"{count} slices", lambda f, n=count: save(chest()[9 : 9 + n], f))
add("2000 slices", lambda f: resliced(2000, f, 48))
add("slices of 1024 x 1024", lambda f: resliced(4, f, 1024))
add("slices of 0.3 mm", lambda f: resliced(1000, f, 64))
add("slices of 10 mm", lambda f: resliced(30, f))
add("pediatric, half the size", partial(scaled, (0.5, 0.5, 0.5)))
add("a very large body", partial(scaled, (1.3, 1.3, 1.2)))
add("a mouse, a tenth of the size", partial(scaled, (0.08, 0.08, 0.08)), EITHER)
add("two axes only", lambda f: save(chest()[10], f), EITHER)
add("a fourth axis of five", lambda f: save(np.stack([chest()[:4]] * 5), f), REFUSED)
add("color voxels", lambda f: save(np.stack([chest()[:4]] * 3, -1).astype(np.int16), f, isVector=True), REFUSED)


# -- bodies ----------------------------------------------------------------------------------------------------


def body() -> np.ndarray:
    """(20, 96, 96) int16: a trunk of soft tissue in air."""
    rows, columns = np.ogrid[:96, :96]
    hu = np.full((20, 96, 96), -1000, np.int16)
    hu[:, ((rows - 48) / 34) ** 2 + ((columns - 48) / 44) ** 2 <= 1] = 40
    return hu


def abdomen(folder: Path) -> Path:
    hu = body()
    for row, column in ((40, 40), (44, 60), (52, 50)):  # bowel gas
        hu[8:12, row : row + 5, column : column + 6] = -800
    return save(hu, folder)


def head(folder: Path) -> Path:
    rows, columns = np.ogrid[:96, :96]
    radius = ((rows - 48) / 40) ** 2 + ((columns - 48) / 32) ** 2
    hu = np.full((20, 96, 96), -1000, np.int16)
    hu[:, radius <= 1] = 1200
    hu[:, radius <= 0.8] = 35
    hu[2:6, 20:28, 44:52] = -900  # a sinus
    return save(hu, folder, spacing=(2.2, 2.2, 8.0))


def knee(folder: Path) -> Path:
    rows, columns = np.ogrid[:96, :96]
    hu = np.full((20, 96, 96), -1000, np.int16)
    for column in (28, 68):
        radius = (rows - 48) ** 2 + (columns - column) ** 2
        hu[:, radius <= 18**2] = 30
        hu[:, radius <= 8**2] = 900
    return save(hu, folder, spacing=(3.0, 3.0, 8.0))


def side(hu: np.ndarray, value: int) -> np.ndarray:
    """What is lung on one side, at this value."""
    half = hu[:, :, 48:]
    half[(half < -300) & (chest_inside()[:, :, 48:])] = value
    return hu


@cache
def chest_inside() -> np.ndarray:
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(s > -400, iterations=2)) for s in chest()])


def arms_down(hu: np.ndarray) -> np.ndarray:
    rows, columns = np.ogrid[:96, :96]
    for column in (3, 92):
        hu[:, (rows - 50) ** 2 + (columns - column) ** 2 <= 9] = 50
    return hu


add("abdomen", abdomen, REFUSED, "lungs")
add("head", head, REFUSED, "lungs")
add("knees", knee, REFUSED, "lungs")
add("one lung removed", partial(of, partial(side, value=20)))
add("one lung white", partial(of, partial(side, value=-20)))
add("contrast medium", partial(of, lambda hu: np.where((hu > 20) & (hu < 80), hu + 300, hu).astype(np.int16)))
add("arms down", partial(of, arms_down))
add("cut off by the field of view", lambda f: save(chest()[:, 16:80, 14:82], f))
add("seen upside down", partial(of, lambda hu: hu[:, ::-1]))
add("only the bases", lambda f: save(chest()[:6], f), EITHER)
add("nothing but air", partial(of, lambda hu: hu * 0 - 1000 + np.indices(hu.shape)[0].astype(np.int16)), REFUSED)


# -- names, and what is no file --------------------------------------------------------------------------------

NAMES = ("Лёгкие 肺.nii.gz", f"{'long' * 48}.nii.gz", "two words.nii.gz", "-o.nii.gz", "it's \"ct\".nii.gz", "a\nb.nii.gz",
         ".hidden.nii.gz", "CT.NII.GZ", "a.b.c.nrrd", "100%.mha", "con.nrrd", "$(id).nrrd")  # fmt: skip


def named(name: str, folder: Path) -> Path:
    plain = save(chest(), folder, f"ct{''.join(re.findall(r'[.](?:nii|gz|nrrd|mha)', name.lower()))}")
    return plain.rename(folder / name)


def nothing(folder: Path) -> Path:
    return folder / "absent.nii.gz"


def empty_folder(folder: Path) -> Path:
    (folder / "folder.nii.gz").mkdir()
    return folder / "folder.nii.gz"


def text(name: str, folder: Path) -> Path:
    (folder / name).write_text("not a volume\n" * 20)
    return folder / name


def loop(folder: Path) -> Path:
    (folder / "loop.nii.gz").symlink_to(folder / "loop.nii.gz")
    return folder / "loop.nii.gz"


def texts(folder: Path) -> Path:
    for name in ("a.txt", "b.docx", "c.pdf"):
        text(name, folder)
    return folder


for name in NAMES:
    add(f"named {name[:20]!r}", partial(named, name))
add("an absent file", nothing, REFUSED)
add("an empty folder with the name of a file", empty_folder, REFUSED)
add("a folder of texts", texts, REFUSED)
add("a link to itself", loop, REFUSED)
for name in ("a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "a.png", "a.xyz", "DICOMDIR"):
    add(f"a text called {name}", partial(text, name), REFUSED)
if os.name == "posix":
    add("a device", lambda f: Path("/dev/null"), REFUSED)


# -- DICOM -----------------------------------------------------------------------------------------------------


def series(folder: Path, **keys) -> Path:
    array = keys.pop("array", None)
    array = chest() if array is None else array
    positions = keys.pop("positions", np.outer(np.arange(len(array)), (0, 0, 15.0)) + (-170, -170, 0))
    tags = {"0018|0050": "15", **keys.pop("tags", {})}
    return write_series(folder / keys.pop("below", "study"), array + 1024, positions=positions, tags=tags, **keys)


def tilted(folder: Path) -> Path:
    along = np.outer(np.arange(20), (0.0, 3.0, 14.7)) + (-170, -170, 0)
    return series(folder, positions=along)


def without(drop: list[int], folder: Path) -> Path:
    kept = [k for k in range(20) if k not in drop]
    return series(folder, array=chest()[kept], positions=np.outer(kept, (0, 0, 15.0)) + (-170, -170, 0))


def uneven(folder: Path) -> Path:
    heights = np.cumsum(np.linspace(10, 20, 20))
    return series(folder, positions=np.outer(heights, (0, 0, 1.0)) + (-170, -170, 0))


def with_localizer(folder: Path) -> Path:
    series(folder)
    series(folder, below="study/scout", array=chest()[10:11], uid="1.2.3.9", number=9, description="Scout",
           tags={"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})  # fmt: skip
    return folder / "study"


def damaged_among(share: float, count: int, folder: Path) -> Path:
    path = series(folder)
    for file in sorted(path.iterdir())[:count]:
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])
    return path


def bits_among(seed: int, folder: Path) -> Path:
    path = series(folder)
    rng = np.random.default_rng(seed)
    for file in sorted(path.iterdir())[::3]:
        data = bytearray(file.read_bytes())
        for place in rng.integers(132, 1200, 6):
            data[place] ^= 1 << rng.integers(8)
        file.write_bytes(data)
    return path


def repeated(folder: Path) -> Path:
    path = series(folder)
    for file in sorted(path.iterdir())[:5]:
        (path / f"copy-{file.name}").write_bytes(file.read_bytes())
    return path


def among_others(folder: Path) -> Path:
    path = series(folder)
    for name in ("README.txt", "viewer.exe", "DICOMDIR", "thumbs.db"):
        text(name, path)
    return path


def two_patients(folder: Path) -> Path:
    series(folder, below="study/a")
    series(folder, below="study/b", uid="1.2.3.7", tags={"0010|0020": "OTHER", "0020|000d": "1.9"})
    return folder / "study"


add("a DICOM series", series)
add("a tilted gantry", tilted, GOOD, "tilt")
add("a missing slice", partial(without, [7]), GOOD, "spac|miss|gap")
add("five missing slices", partial(without, [3, 4, 9, 10, 15]), GOOD, "spac|miss|gap")
add("uneven slices", uneven, GOOD, "spac|uneven|distance")
add("a localizer among the slices", with_localizer)
add("slices that are there twice", repeated, GOOD, "twice|duplicate|same place")
add("other files among the slices", among_others)
add("HU stored with a slope", partial(series, slope=0.5, intercept=-1024))
add("another modality, MR", partial(series, modality="MR"), EITHER)
add("another modality, PET", partial(series, modality="PT"), EITHER)
add("secondary captures", partial(series, modality="OT"), EITHER)
add("no places of slices", partial(series, tags={"0020|0032": "", "0020|0037": ""}), EITHER)
add("places that are no numbers", partial(series, tags={"0020|0032": "a\\b\\c"}), EITHER)
add("all slices in one place", partial(series, positions=np.zeros((20, 3))), EITHER)
add("two patients in one folder", two_patients, REFUSED)
add("names with slashes and markup",
    partial(series, description="../../<script>alert(1)</script>", tags={"0010|0010": "../../etc"}))
for share, count in ((0.1, 3), (0.5, 3), (0.99, 3), (0.5, 20), (0.0, 20)):
    ends = REFUSED if count == 20 else GOOD
    add(f"{count} of 20 slices cut to {share:.0%}", partial(damaged_among, share, count), ends)
for seed in range(6):
    add(f"bits turned in a third of the slices {seed}", partial(bits_among, seed), EITHER)


# -- pictures --------------------------------------------------------------------------------------------------


def grey(side: int = 192) -> np.ndarray:
    hu = ndimage.zoom(chest()[10].astype(float), side / 96, order=1)
    return np.clip((hu + 1200) / 1800 * 255, 0, 255).astype(np.uint8)


def picture(mode: str, name: str, folder: Path, **keys) -> Path:
    Image.fromarray(grey()).convert(mode).save(folder / name, **keys)
    return folder / name


def deep(folder: Path) -> Path:
    Image.fromarray(grey().astype(np.uint16) * 16).save(folder / "deep.png")
    return folder / "deep.png"


def pages(name: str, folder: Path) -> Path:
    several = [Image.fromarray(np.roll(grey(), k)) for k in range(4)]
    several[0].save(folder / name, save_all=True, append_images=several[1:])
    return folder / name


def shaped(rows: int, columns: int, folder: Path) -> Path:
    Image.fromarray(np.resize(grey(), (rows, columns))).save(folder / "a.png")
    return folder / "a.png"


def half(name: str, folder: Path) -> Path:
    path = picture("L", name, folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def picture_bomb(folder: Path) -> Path:
    """A PNG header of 100,000 x 100,000 pixels without any."""
    path = picture("L", "bomb.png", folder)
    data = bytearray(path.read_bytes())
    struct.pack_into(">2I", data, 16, 100_000, 100_000)
    path.write_bytes(data)
    return path


def mixed_pictures(folder: Path) -> Path:
    for k, size in enumerate((128, 192, 160)):
        Image.fromarray(grey(size)).save(folder / f"{k}.png")
    Image.fromarray(grey()).convert("RGB").save(folder / "3.jpg")
    return folder


def with_a_broken_one(folder: Path) -> Path:
    mixed_pictures(folder)
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    return folder


for mode, name in (("L", "a.png"), ("RGB", "a.png"), ("RGBA", "a.png"), ("P", "a.png"), ("LA", "a.png"), ("L", "a.jpg"),
                   ("RGB", "a.jpg"), ("CMYK", "a.jpg"), ("L", "a.bmp"), ("L", "a.tif")):  # fmt: skip
    add(f"a picture of {mode} {name[1:]}", partial(picture, mode, name), GOOD, "Hounsfield")
add("a picture of two values", partial(picture, "1", "a.png"), EITHER)
add("a picture of 16 bits", deep, EITHER)
add("a TIFF of four pages", partial(pages, "a.tif"), EITHER)
add("a moving GIF", partial(pages, "a.gif"), EITHER)
for rows, columns in ((1, 1), (8, 8), (1, 5000), (3000, 40)):
    add(f"a picture of {rows} x {columns}", partial(shaped, rows, columns), EITHER if rows == 3000 else REFUSED)
for name in ("a.png", "a.jpg", "a.tif"):
    add(f"half a picture {name}", partial(half, name), REFUSED)
add("a picture of 10,000 megapixels", picture_bomb, REFUSED)
add("a black picture", lambda f: _saved(np.zeros((200, 200), np.uint8), f), REFUSED)
add("a photograph of noise", lambda f: _saved(np.random.default_rng(0).integers(0, 255, (200, 200)), f), EITHER)
add("pictures of several sizes", mixed_pictures, GOOD, "Hounsfield")
add("a broken picture among others", with_a_broken_one, EITHER)


def _saved(values: np.ndarray, folder: Path) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(folder / "a.png")
    return folder / "a.png"
