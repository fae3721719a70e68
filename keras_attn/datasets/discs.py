"""`discs`: generated images of discs and rings with their boxes."""

import functools
import os

import numpy as np

from keras_attn.datasets.detection import DetectionSplit
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

LABELS = ("disc", "ring")
SIZES = {"train": 240, "validation": 40, "test": 60}
HEIGHT, WIDTH = 96, 128


def draw_discs(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[DetectionSplit]:
    """Generate the data set. It needs no file and no network.

    An image of 96x128 pixels has one to five discs and rings of the same color on a noisy
    background, which do not overlap.

    Args:
        seed: Integer that determines the images. Each split has a random stream of its own.
        sizes: Number of images of each split; None means `SIZES`.

    Returns:
        The splits named in `sizes`, drawn on access.

    Example:

    >>> draw_discs(sizes={"test": 2})["test"].images[0].shape
    (96, 128, 3)
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read(split: str) -> DetectionSplit:
        random = np.random.default_rng([seed, list(SIZES).index(split)])
        examples = [_draw(random) for _ in range(sizes[split])]
        images, boxes, labels = zip(*examples, strict=True)
        return DetectionSplit(images, boxes, labels)

    readers = {split: functools.partial(read, split) for split in sizes}
    return Dataset("discs", LABELS, readers)


def _draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image: its pixels, boxes and labels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    image = random.normal(205.0, 8.0, (HEIGHT, WIDTH, 3)) + random.normal(0.0, 12.0, 3)
    color = np.array([190.0, 95.0, 110.0]) + random.normal(0.0, 15.0, 3)
    circles: list[tuple[float, float, float]] = []
    boxes, labels = [], []
    for _ in range(random.integers(1, 6)):
        radius = random.uniform(8.0, 16.0)
        middle = random.uniform((radius, radius), (WIDTH - radius, HEIGHT - radius))
        if any(np.hypot(*(middle - c[:2])) < radius + c[2] + 2.0 for c in circles):
            continue
        circles.append((*middle, radius))
        label = int(random.integers(len(LABELS)))
        distance = np.hypot(x - middle[0], y - middle[1])
        inside = (distance < radius) & ((label == 0) | (distance > 0.55 * radius))
        image[inside] = 0.3 * image[inside] + 0.7 * color
        boxes.append([*(middle - radius), *(middle + radius)])
        labels.append(label)
    pixels = np.clip(image, 0, 255).astype("uint8")
    return pixels, np.array(boxes, "float32"), np.array(labels, "int32")


@register_dataset("discs", task="object_detection", label_names=LABELS)
def load_discs(data_dir: str | os.PathLike[str] | None = None) -> Dataset[DetectionSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_discs()
