"""A folder of images as rows of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aefast.data.readers import EXTRA, Rows

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
# What pillow calls images whose pixels are one byte of grey; all else that has bytes becomes RGB.
GREY = frozenset({"1", "L"})
DEEP = ("I", "F")


def read_images(folder: Path) -> Rows:
    """Every image below `folder`, in the order of their paths: X (n, C*H*W) uint8, channel by channel, row by row.

    Grey (C = 1) where all are, else RGB (C = 3) without transparency. Raises ValueError for images of different sizes,
    files that pillow can't read and pixels of more than 8 bits; ModuleNotFoundError without pillow.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ModuleNotFoundError(
            f"{folder} is a folder, and reading images needs the package pillow: {EXTRA}"
        ) from None
    paths = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if not paths:
        raise ValueError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    grey, size = True, (0, 0)
    for path in paths:  # headers alone: a wrong last image is found before the first is decoded
        try:
            with Image.open(path) as image:
                if image.mode.startswith(DEEP):
                    raise ValueError(
                        f"{path} has pixels of more than 8 bits ({image.mode}); convert it first"
                    )
                size = image.size if path is paths[0] else size
                if image.size != size:
                    raise ValueError(
                        f"all images must have one size, but {paths[0]} is {size[0]} x {size[1]} "
                        f"and {path} is {image.size[0]} x {image.size[1]} pixels; resize them first"
                    )
                grey = grey and image.mode in GREY
        except UnidentifiedImageError:
            raise ValueError(f"{path} isn't an image that pillow can read") from None
    channels = 1 if grey else 3
    X = np.empty((len(paths), channels, size[1], size[0]), np.uint8)
    for row, path in zip(X, paths, strict=True):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except OSError as error:
            raise ValueError(f"{path} isn't a whole image: {error}") from None
        row[...] = pixels if grey else pixels.transpose(2, 0, 1)
    shape = f"{size[0]} x {size[1]} pixels, {'grey' if grey else 'RGB'}"
    return Rows(
        X.reshape(len(paths), -1),
        pixels=True,
        notes=(f"{len(paths)} images of {shape}",),
        axes=(channels, size[1], size[0]),
    )
