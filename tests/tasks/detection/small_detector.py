"""Drawn images of discs and squares with their boxes, and a small detector of them."""

import keras
import numpy as np

from keras_attn.datasets import Dataset, DetectionSplit
from keras_attn.tasks import from_architecture

NAMES = ("disc", "square")
SMALL = {
    "image_size": (48, 64), "stem_filters": 8, "stage_filters": (16, 16), "stage_blocks": (1, 1),
    "num_layers": 1, "num_heads": 2, "intermediate_dim": 24, "head_filters": 16,
    "batch_norm_momentum": 0.8,
}  # fmt: skip


def draw_image(seed, size=(48, 64), count=2):
    """A noisy image with discs and squares that do not touch: pixels, boxes and labels."""
    random = np.random.default_rng(seed)
    height, width = size
    image = random.integers(90, 110, (height, width, 3)).astype("uint8")
    boxes, labels = [], []
    y, x = np.mgrid[:height, :width]
    while len(labels) < count:
        side = int(random.integers(14, 20) * height / 48)
        left, top = random.integers(0, width - side), random.integers(0, height - side)
        box = np.array([left, top, left + side, top + side], "float32")
        if any((box[:2] < b[2:]).all() and (b[:2] < box[2:]).all() for b in boxes):
            continue
        label = int(random.integers(2))
        inside = (x >= left) & (x < left + side) & (y >= top) & (y < top + side)
        if label == 0:
            middle = np.array([left + side / 2, top + side / 2]) - 0.5
            inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 <= (side / 2) ** 2
        image[inside] = [230, 60, 40] if label == 0 else [40, 60, 230]
        boxes.append(box)
        labels.append(label)
    return image, np.array(boxes, "float32").reshape(-1, 4), np.array(labels, "int32")


def draw(count, seed=0, size=(48, 64), objects=2):
    """A split of drawn images."""
    examples = [draw_image(1_000 * seed + index, size, objects) for index in range(count)]
    return DetectionSplit(*(tuple(part) for part in zip(*examples, strict=True)))


def shapes():
    """A data set of drawn images."""
    splits = {"train": draw(48, 1), "validation": draw(16, 2), "test": draw(16, 3)}
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset("drawn", NAMES, readers)


def make(label_names=NAMES, **more):
    keras.utils.set_random_seed(0)
    return from_architecture("attention_detector", label_names, **{**SMALL, **more})


def trained(epochs=25):
    """A small detector that was fitted to drawn images."""
    model, train = make(), draw(48, 1)
    model.adapt(train.inputs)
    model.compile(keras.optimizers.AdamW(5e-3), model.loss)
    model.fit(train.inputs, train.targets, epochs=epochs, batch_size=8, verbose=0)
    return model
