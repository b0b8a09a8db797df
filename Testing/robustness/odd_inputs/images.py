"""Images of slices and of other things."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from .base import EITHER, GOOD, REJECTED, add, chest


def gray(side: int = 192) -> np.ndarray:
    hu = ndimage.zoom(chest()[10].astype(float), side / 96, order=1)
    return np.clip((hu + 1200) / 1800 * 255, 0, 255).astype(np.uint8)


def image(mode: str, name: str, folder: Path, **keys) -> Path:
    Image.fromarray(gray()).convert(mode).save(folder / name, **keys)
    return folder / name


def deep(folder: Path) -> Path:
    Image.fromarray(gray().astype(np.uint16) * 16).save(folder / "deep.png")
    return folder / "deep.png"


def pages(name: str, folder: Path) -> Path:
    several = [Image.fromarray(np.roll(gray(), k)) for k in range(4)]
    several[0].save(folder / name, save_all=True, append_images=several[1:])
    return folder / name


def shaped(rows: int, columns: int, folder: Path) -> Path:
    Image.fromarray(np.resize(gray(), (rows, columns))).save(folder / "a.png")
    return folder / "a.png"


def truncated(name: str, folder: Path) -> Path:
    path = image("L", name, folder)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    return path


def image_bomb(folder: Path) -> Path:
    """A PNG file whose header claims 100,000 x 100,000 pixels."""
    path = image("L", "bomb.png", folder)
    data = bytearray(path.read_bytes())
    struct.pack_into(">2I", data, 16, 100_000, 100_000)
    path.write_bytes(data)
    return path


def mixed_images(folder: Path) -> Path:
    for k, size in enumerate((128, 192, 160)):
        Image.fromarray(gray(size)).save(folder / f"{k}.png")
    Image.fromarray(gray()).convert("RGB").save(folder / "3.jpg")
    return folder


def with_a_damaged_one(folder: Path) -> Path:
    mixed_images(folder)
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    return folder


for mode, name in (("L", "a.png"), ("RGB", "a.png"), ("RGBA", "a.png"), ("P", "a.png"), ("LA", "a.png"), ("L", "a.jpg"),
                   ("RGB", "a.jpg"), ("CMYK", "a.jpg"), ("L", "a.bmp"), ("L", "a.tif")):  # fmt: skip
    add(f"an image of mode {mode} {name[1:]}", partial(image, mode, name), GOOD, "no HU")
add("an image of two values", partial(image, "1", "a.png"), EITHER)
add("an image of 16 bits", deep, EITHER)
add("a TIFF of four pages", partial(pages, "a.tif"), EITHER)
add("an animated GIF", partial(pages, "a.gif"), EITHER)
for rows, columns in ((1, 1), (8, 8), (1, 5000), (3000, 40)):
    add(f"an image of {rows} x {columns}", partial(shaped, rows, columns), EITHER if rows == 3000 else REJECTED)
for name in ("a.png", "a.jpg", "a.tif"):
    add(f"a truncated image {name}", partial(truncated, name), REJECTED)
add("an image of 10,000 megapixels", image_bomb, REJECTED)
add("a black image", lambda f: _saved(np.zeros((200, 200), np.uint8), f), REJECTED)
add("an image of noise", lambda f: _saved(np.random.default_rng(0).integers(0, 255, (200, 200)), f), EITHER)
add("images of several sizes", mixed_images, GOOD, "no HU")
add("a damaged image among others", with_a_damaged_one, EITHER)


def _saved(values: np.ndarray, folder: Path) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(folder / "a.png")
    return folder / "a.png"
