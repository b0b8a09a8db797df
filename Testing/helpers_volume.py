"""A small chest-like CT, files of it as scanners and programs write them, and the check of an error message."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from LesionAnalysisLib.volume import read_ct

RAS = np.array([[-0.7, 0, 0, 10], [0, -0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
AXIAL = (1, 0, 0, 0, 1, 0)


def chest(slices: int = 12, rows: int = 40, columns: int = 50) -> np.ndarray:
    """(K, J, I) int16 HU: surrounding air, soft tissue, two lungs, a spine."""
    ct = np.full((slices, rows, columns), -1000, np.int16)
    ct += np.random.default_rng(0).integers(-20, 20, ct.shape, dtype=np.int16)
    ct[:, 5:-5, 5:-5] += 1040
    middle = columns // 2
    ct[:, 12:-12, 9:middle - 3] -= 900
    ct[:, 12:-12, middle + 3:-9] -= 900
    ct[:, -12:-8, middle - 3:middle + 3] += 400
    return ct


def write_volume(path: Path, array: np.ndarray, **options) -> Path:
    """A file with the geometry RAS, in any format that SimpleITK writes."""
    image = sitk.GetImageFromArray(array)
    if image.GetDimension() == 3:
        image.SetSpacing((0.7, 0.8, 2.5))
        image.SetOrigin((-10, 20, 30))
    sitk.WriteImage(image, str(path), **options)
    return path


def write_series(
    folder: Path,
    array: np.ndarray,
    uid: str = "1.2.3.1",
    description: str = "Lung 1.0",
    number: int = 1,
    modality: str = "CT",
    positions: np.ndarray | None = None,
    orientation: tuple[float, ...] = AXIAL,
    slope: float = 1.0,
    intercept: float = -1024.0,
    names: list[str] | None = None,
    tags: dict[str, str] | None = None,
    spacing: tuple[float, float] = (0.7, 0.8),
) -> Path:
    """One file per slice, stored with slope and intercept; positions are LPS, (K, 3)."""
    folder.mkdir(parents=True, exist_ok=True)
    if positions is None:
        positions = np.add((-10, 20, 30), np.outer(np.arange(len(array)) * 2.5, (0, 0, 1)))
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    for k, values in enumerate(array):
        image = sitk.GetImageFromArray(values.astype(np.int16 if slope == 1 else np.float32))
        image.SetSpacing(spacing)
        header = {
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0008|0018": f"{uid}.{k + 1}",
            "0008|0060": modality,
            "0008|103e": description,
            "0010|0010": "DOE^JANE",
            "0010|0020": "PATIENT77",
            "0018|0050": "2.5",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0011": str(number),
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{x:.5f}" for x in positions[k]),
            "0020|0037": "\\".join(f"{x:.7f}" for x in orientation),
            "0028|0100": "16",
            "0028|0101": "16",
            "0028|0102": "15",
            "0028|0103": "1",
            "0028|1052": str(intercept),
            "0028|1053": str(slope),
            **(tags or {}),
        }
        for tag, value in header.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / (names[k] if names else f"DOE_JANE_{k:03d}.dcm")))
        writer.Execute(image)
    return folder


def refusal(path_or_call, error: type[Exception] = ValueError) -> str:
    """The message of the error, which must be one sentence without ITK's own text."""
    call = path_or_call if callable(path_or_call) else lambda: read_ct(path_or_call)
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and ". " not in message
    assert not any(word in message for word in ("itk", "ITK", "Exception", "DOE", "JANE", "PATIENT77", "0x"))
    return message


def patch(path: str | Path, offset: int, form: str, *values: float) -> None:
    """Overwrite fields of a header."""
    data = bytearray(Path(path).read_bytes())
    struct.pack_into(form, data, offset, *values)
    Path(path).write_bytes(data)


def nifti(array: np.ndarray, order: str, version: int, ras: np.ndarray = RAS) -> bytes:
    """A NIfTI file, built field by field, with the sform ``ras``."""
    size, real = (348, "f") if version == 1 else (540, "d")
    head = bytearray(size + 4)
    dims, pixdim = (3, *array.shape[::-1], 1, 1, 1, 1), (1, *np.linalg.norm(ras[:3, :3], axis=0), 0, 0, 0, 0)
    struct.pack_into(order + "i", head, 0, size)
    struct.pack_into(order + ("8h" if version == 1 else "8q"), head, 40 if version == 1 else 16, *dims)
    struct.pack_into(order + "2h", head, 70 if version == 1 else 12, 4, 16)
    struct.pack_into(order + "8" + real, head, 76 if version == 1 else 104, *pixdim)
    struct.pack_into(order + ("f" if version == 1 else "q"), head, 108 if version == 1 else 168, size + 4)
    struct.pack_into(order + ("h" if version == 1 else "i"), head, 254 if version == 1 else 348, 1)
    struct.pack_into(order + "12" + real, head, 280 if version == 1 else 400, *ras[:3].ravel())
    magic = b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n"
    start = 344 if version == 1 else 4
    head[start:start + len(magic)] = magic
    return bytes(head) + array.astype(order + "i2").tobytes()
