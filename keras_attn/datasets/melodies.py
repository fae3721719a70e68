"""`melodies`: generated waveforms of two notes, whose order is the label."""

import functools
import os

import numpy as np

from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset
from keras_attn.datasets.waveforms import Waveform, WaveformSplit

LABELS = ("rising", "falling", "same")
SIZES = {"train": 900, "validation": 150, "test": 300}
RATE = 8_000

_SECONDS = 0.6
_NOTE = 0.08  # seconds
_PITCHES = (300.0, 420.0, 600.0, 850.0, 1_200.0)  # Hz


def draw_melodies(seed: int = 0, sizes: dict[str, int] | None = None) -> Dataset[WaveformSplit]:
    """Generate the data set. It needs no file and no network.

    A waveform has two short notes with silence between them, and noise. Whether the second note is
    higher, lower or the same cannot be told from the pitches alone: their order matters.

    Args:
        seed: Integer that determines the waveforms. Each split has a random stream of its own.
        sizes: Number of waveforms of each split; None means `SIZES`.

    Returns:
        The splits named in `sizes`, drawn on access.

    Example:

    >>> split = draw_melodies(sizes={"test": 2})["test"]
    >>> split.waveforms[0]
    Waveform(0.60 s, 8,000 samples per second)
    """
    sizes = SIZES if sizes is None else sizes

    @functools.cache
    def read(split: str) -> WaveformSplit:
        random = np.random.default_rng([seed, list(SIZES).index(split)])
        labels = random.integers(len(LABELS), size=sizes[split]).astype("int32")
        return WaveformSplit(tuple(_draw(label, random) for label in labels), labels)

    readers = {split: functools.partial(read, split) for split in sizes}
    return Dataset("melodies", LABELS, readers)


def _draw(label: int, random: np.random.Generator) -> Waveform:
    """Draw a waveform of a label."""
    low, high = np.sort(random.choice(len(_PITCHES), 2, replace=False))
    pitches = [(low, high), (high, low), (low, low)][label]
    begins = (random.uniform(0.02, 0.16), random.uniform(0.32, _SECONDS - _NOTE - 0.02))
    samples = random.normal(0.0, 0.01, round(_SECONDS * RATE))
    time = np.arange(round(_NOTE * RATE)) / RATE
    envelope = np.sin(np.pi * time / _NOTE)
    for pitch, begin in zip(pitches, begins, strict=True):
        frequency = _PITCHES[pitch] * random.uniform(0.97, 1.03)
        tone = np.sin(2 * np.pi * frequency * time + random.uniform(0, 2 * np.pi))
        start = round(begin * RATE)
        samples[start : start + len(time)] += random.uniform(0.2, 0.5) * envelope * tone
    return Waveform(samples.astype("float32"), RATE)


@register_dataset("melodies", task="audio_classification", label_names=LABELS)
def load_melodies(data_dir: str | os.PathLike[str] | None = None) -> Dataset[WaveformSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_melodies()
