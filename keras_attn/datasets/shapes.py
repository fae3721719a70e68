"""`shapes`: a drawn data set in which the answer is a relation between distant parts.

Each 32x32 image shows two solid figures, of different kinds and colors, and a white one,
the key. The label is the color of the figure whose kind is the key's. No single place
holds the answer, and neither does a count of the parts: one must go from the key to the
figure that it matches. That is what attention does, and what a small convolutional
network with a linear head on averages cannot: it can tell which two colors are there,
and guess.
"""

import functools
import os

import numpy as np

from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset, ImageSplit

KINDS = ("disc", "square", "triangle", "cross")
COLORS = {
    "red": (214, 60, 50),
    "green": (60, 170, 75),
    "blue": (60, 95, 215),
    "yellow": (225, 195, 50),
}
SIZES = {"train": 8_000, "validation": 1_000, "test": 2_000}

SIDE = 32
FIGURES = 2  # colored ones in an image
_CELLS = np.array([(6, 6), (6, 26), (26, 6), (26, 26)])  # far apart: no 10 pixels show two
_RADIUS = 4.0
_JITTER = 1.5
_NOISE = 12.0
_KEY_COLOR = (250, 250, 250)
_CHUNK = 500  # images drawn at once: few enough to stay in the cache


def draw_shapes(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[ImageSplit]:
    """The data set, drawn from `seed`; needs no file and no network.

    Args:
        seed: integer; each split draws from a stream of its own.
        sizes: examples in each split; None is `SIZES`.
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read(split: str) -> ImageSplit:
        stream = np.random.default_rng([seed, list(SIZES).index(split)])
        return draw(sizes[split], stream)

    readers = {split: functools.partial(read, split) for split in sizes}
    return Dataset("shapes", tuple(COLORS), readers)


def draw(count: int, random: np.random.Generator) -> ImageSplit:
    """Draw `count` labelled images.

    Example:

    >>> split = draw(3, np.random.default_rng(0))
    >>> split.images.shape, split.labels.shape
    ((3, 32, 32, 3), (3,))
    """
    images = np.empty((count, SIDE, SIDE, 3), "uint8")
    labels = np.empty(count, "int32")
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        images[part], labels[part] = _draw(part.stop - start, random)
    return ImageSplit(images, labels)


def _draw(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(count)
    kinds = _permutations(count, len(KINDS), random)[:, :FIGURES]
    colors = _permutations(count, len(COLORS), random)[:, :FIGURES]
    match = random.integers(0, FIGURES, count)
    cells = _CELLS[_permutations(count, len(_CELLS), random)]
    centres = (cells + random.uniform(-_JITTER, _JITTER, cells.shape)).astype("float32")
    palette = np.array([*COLORS.values(), _KEY_COLOR], "float32")

    images = np.empty((count, SIDE, SIDE, 3), "float32")
    images[:] = random.uniform(50, 130, (count, 1, 1, 1))
    white = np.full((count, 1), len(COLORS))
    drawn_kinds = np.concatenate([kinds, kinds[rows, match][:, None]], axis=1)
    drawn_colors = np.concatenate([colors, white], axis=1)
    for figure in range(FIGURES + 1):
        image, y, x = np.nonzero(_figures(drawn_kinds[:, figure], centres[:, figure]))
        images[image, y, x] = palette[drawn_colors[image, figure]]
    images += _NOISE * random.standard_normal(images.shape, "float32")
    return np.clip(np.rint(images), 0, 255), colors[rows, match]


def _permutations(count: int, size: int, random: np.random.Generator) -> np.ndarray:
    return random.random((count, size)).argsort(axis=1)


def _figures(kinds: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Boolean `(count, SIDE, SIDE)`: inside the figure of each image's kind."""
    line = np.arange(SIDE, dtype="float32")
    y = ((line - centres[:, :1]) / _RADIUS)[:, :, None]
    x = ((line - centres[:, 1:]) / _RADIUS)[:, None, :]
    near, far = np.minimum(abs(y), abs(x)), np.maximum(abs(y), abs(x))
    inside = {
        "disc": y**2 + x**2 < 1,
        "square": far < 0.8,
        "triangle": (abs(y) < 0.9) & (abs(x) < (y + 0.9) / 1.8),
        "cross": (near < 0.3) & (far < 1),
    }
    return np.stack([inside[kind] for kind in KINDS])[kinds, np.arange(len(kinds))]


@register_dataset("shapes", task="image_classification", label_names=tuple(COLORS))
def load_shapes(data_dir: str | os.PathLike[str] | None = None) -> Dataset[ImageSplit]:
    """Return the data set of seed 0; `data_dir` is not read."""
    return draw_shapes()
