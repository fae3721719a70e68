"""User-provided sounds: reading folders of WAV files."""

from typing import Any

from keras_attn import datasets
from keras_attn.datasets.files._label_folders import SOUNDS
from keras_attn.recipes import Recipe
from keras_attn.tasks._folder_data import FolderReader


def _read_options(source: Any) -> dict[str, Any]:
    """Return the shortest and the longest sound that a recipe's model, or a model, takes."""
    if isinstance(source, Recipe):
        settings = source.preprocessing
        window = settings["sequence_length"] / settings["sampling_rate"]
        return {"min_seconds": window, "max_seconds": settings["max_seconds"]}
    return {"min_seconds": source.min_seconds, "max_seconds": source.max_seconds}


READER = FolderReader(
    SOUNDS,
    datasets.read_waveforms,
    datasets.split_waveforms,
    lambda table, labels: datasets.WaveformSplit(table.waveforms, labels),
    _read_options,
)
