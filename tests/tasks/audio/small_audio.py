"""Words that are chirps, and a small classifier of them."""

import keras
import numpy as np

from keras_attn.datasets import Dataset, Waveform, WaveformSplit
from keras_attn.tasks import from_architecture

NAMES = ("falling", "rising")
SMALL = {
    "num_mel_bins": 20, "stem_filters": (4, 8), "model_dim": 16, "num_layers": 1, "num_heads": 2,
    "intermediate_dim": 16, "frequency_width": 2, "dropout": 0.0,
}  # fmt: skip
SPECTROGRAM = {"mean_subtraction": 0.0}


def chirp(rising, seconds=0.3, rate=8_000, seed=0):
    """A tone whose pitch rises or falls, in some noise."""
    random = np.random.default_rng([seed, rising])
    start, end = random.uniform(300, 500), random.uniform(1_500, 2_000)
    start, end = (start, end) if rising else (end, start)
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (start * time + (end - start) * time**2 / (2 * seconds))
    samples = 0.3 * np.sin(phase) + random.normal(0.0, 0.003, len(time))
    return Waveform(samples.astype("float32"), rate)


def draw(count, seed=0):
    """A split of chirps of different lengths."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count).astype("int32")
    seconds = random.uniform(0.2, 0.4, count)
    return WaveformSplit(
        tuple(chirp(int(y), s, seed=seed * 1_000 + i)
              for i, (y, s) in enumerate(zip(labels, seconds, strict=True))),
        labels,
    )  # fmt: skip


def chirps():
    """A data set of chirps."""
    splits = {"train": draw(96, 1), "validation": draw(32, 2), "test": draw(32, 3)}
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset("chirps", NAMES, readers)


def make(label_names=NAMES, preprocessing=SPECTROGRAM, **more):
    keras.utils.set_random_seed(0)
    return from_architecture("keyword_attention", label_names, preprocessing, **{**SMALL, **more})


def trained(epochs=6):
    """A small classifier that was fitted to chirps."""
    model, train = make(), draw(96, 1)
    model.adapt(train.inputs)
    model.compile(keras.optimizers.Adam(1e-2), model.loss, metrics=["accuracy"])
    model.fit(train.inputs, train.labels, epochs=epochs, batch_size=16, verbose=0)
    return model
