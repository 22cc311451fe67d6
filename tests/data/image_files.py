"""Small image files in folders of classes."""

import numpy as np
from PIL import Image

CHANCE = np.random.default_rng(0)


def pixels(height, width):
    return CHANCE.integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(path, height=40, width=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(height, width)).save(path)


def classes(folder, count, each, suffix=".png", **size):
    for label in range(count):
        for number in range(each):
            picture(folder / f"class{label}" / f"{number}{suffix}", **size)
