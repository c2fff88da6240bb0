"""Generated photographs for the benchmarks: smooth colours with noise, as JPEG files in folders of classes."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def generate(folder: Path, count: int, size: int = 64) -> Path:
    """`count` JPEGs of size x size in 10 classes below `folder`; files that are there already stay."""
    for label in range(CLASSES):
        (folder / f"class_{label}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_one, (folder,) * count, range(count), (size,) * count, chunksize=500))
    return folder


def _one(folder: Path, number: int, size: int) -> None:
    path = folder / f"class_{number % CLASSES}" / f"{number:06}.jpg"
    if not path.exists():
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((size, size), Image.BICUBIC)
        noise = rng.normal(0, 8, (size, size, 3))
        Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)).save(path, quality=90)
