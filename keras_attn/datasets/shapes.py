"""`shapes`: a generated data set whose labels depend on a relation between distant figures.

Each 32x32 image shows two solid figures, of different kinds and colors, and a white one, the
key. The label is the color of the figure that has the kind of the key. Neither a single region
nor a count of figures determines the label: a model has to relate the key to the figure that
it matches, as attention does. A small convolutional network with a linear head on averages
cannot: it recognizes the two colors, and guesses between them.
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
FIGURES = 2  # colored figures per image
# The centers of figures, so far apart that no 10x10 region shows two of them.
_CELLS = np.array([(6, 6), (6, 26), (26, 6), (26, 26)])
_RADIUS = 4.0
_JITTER = 1.5
_NOISE = 12.0
_KEY_COLOR = (250, 250, 250)
_CHUNK = 500  # images drawn together, few enough to stay in the processor's cache


def draw_shapes(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[ImageSplit]:
    """Generate the data set. It needs no file and no network.

    Args:
        seed: Integer that determines the images. Each split has a random stream of its own.
        sizes: Number of examples of each split; None means `SIZES`.

    Returns:
        The splits named in `sizes`, drawn on access.
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read(split: str) -> ImageSplit:
        stream = np.random.default_rng([seed, list(SIZES).index(split)])
        return draw_split(sizes[split], stream)

    readers = {split: functools.partial(read, split) for split in sizes}
    return Dataset("shapes", tuple(COLORS), readers)


def draw_split(count: int, random: np.random.Generator) -> ImageSplit:
    """Draw `count` labelled images.

    Args:
        count: Number of images.
        random: The random stream.

    Example:

    >>> split = draw_split(3, np.random.default_rng(0))
    >>> split.images.shape, split.labels.shape
    ((3, 32, 32, 3), (3,))
    """
    images = np.empty((count, SIDE, SIDE, 3), "uint8")
    labels = np.empty(count, "int32")
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        images[part], labels[part] = _draw_chunk(part.stop - start, random)
    return ImageSplit(images, labels)


def _draw_chunk(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return float images `(count, SIDE, SIDE, 3)` from 0 to 255, and labels `(count,)`."""
    rows = np.arange(count)
    kinds = _permutations(count, len(KINDS), random)[:, :FIGURES]
    colors = _permutations(count, len(COLORS), random)[:, :FIGURES]
    match = random.integers(0, FIGURES, count)
    cells = _CELLS[_permutations(count, len(_CELLS), random)]
    centers = (cells + random.uniform(-_JITTER, _JITTER, cells.shape)).astype("float32")
    palette = np.array([*COLORS.values(), _KEY_COLOR], "float32")

    images = np.empty((count, SIDE, SIDE, 3), "float32")
    images[:] = random.uniform(50, 130, (count, 1, 1, 1))
    white = np.full((count, 1), len(COLORS))
    drawn_kinds = np.concatenate([kinds, kinds[rows, match][:, None]], axis=1)
    drawn_colors = np.concatenate([colors, white], axis=1)
    for figure in range(FIGURES + 1):
        image, y, x = np.nonzero(_figure_masks(drawn_kinds[:, figure], centers[:, figure]))
        images[image, y, x] = palette[drawn_colors[image, figure]]
    images += _NOISE * random.standard_normal(images.shape, "float32")
    return np.clip(np.rint(images), 0, 255), colors[rows, match]


def _permutations(count: int, size: int, random: np.random.Generator) -> np.ndarray:
    """Return `count` random permutations of `range(size)`, as an array `(count, size)`."""
    return random.random((count, size)).argsort(axis=1)


def _figure_masks(kinds: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return a mask of the pixels inside a figure of each image.

    Args:
        kinds: Indices into `KINDS`, `(count,)`.
        centers: Row and column of the center of each figure, `(count, 2)`.

    Returns:
        Boolean array `(count, SIDE, SIDE)`.
    """
    line = np.arange(SIDE, dtype="float32")
    y = ((line - centers[:, :1]) / _RADIUS)[:, :, None]
    x = ((line - centers[:, 1:]) / _RADIUS)[:, None, :]
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
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_shapes()
