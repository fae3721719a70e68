"""Small forecasters, and series that they forecast."""

import keras
import numpy as np

from keras_attn import datasets, tasks

DAY = 24
SMALL = {
    "patch_transformer": {
        **{"num_variables": 2, "history": 48, "horizon": 24, "quantiles": (0.1, 0.9)},
        **{"patch_length": 8, "patch_stride": 4, "model_dim": 8, "num_layers": 1},
        **{"num_heads": 2, "intermediate_dim": 16},
    },
    "calendar_transformer": {
        **{"num_variables": 2, "history": 168, "horizon": 48, "quantiles": (0.1, 0.5, 0.9)},
        **{"model_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16},
    },
}


def draw_series(rows=400, seed=0, noise=0.1):
    """Return hourly values `(rows, 2)` with a daily wave, in very different units."""
    random = np.random.default_rng(seed)
    hours = np.arange(rows)
    wave = np.sin(2 * np.pi * hours / DAY)
    values = np.stack([wave, 1000.0 + 50.0 * np.cos(2 * np.pi * hours / DAY)], axis=1)
    return (values + noise * random.normal(size=values.shape) * [1.0, 50.0]).astype("float32")


def times_of(rows, first="2024-01-01"):
    """Return hourly times from a day on."""
    return np.datetime64(first, "s") + np.arange(rows) * np.timedelta64(3600, "s")


def make_split(rows=400, start=0, **options):
    """Return a split of a drawn series."""
    return datasets.SeriesSplit(draw_series(rows, **options), times_of(rows), ("a", "b"), start)


def make_dataset(rows=480):
    """Return a drawn data set: 320 training rows, 80 for validation and 80 for the test."""
    whole = make_split(rows)
    spans = {
        "train": (0, rows - 160),
        "validation": (rows - 160, rows - 80),
        "test": (rows - 80, rows),
    }
    splits = datasets.series.split_rows(whole.values, whole.times, whole.names, spans)
    return datasets.Dataset("drawn", (), {name: (lambda s=s: s) for name, s in splits.items()})


def new_forecaster(architecture="patch_transformer", *, adapted=True, **settings):
    """Return a small forecaster, adapted to a drawn series."""
    keras.utils.set_random_seed(0)
    model = tasks.from_architecture(architecture, **{**SMALL[architecture], **settings})
    if adapted:
        model.adapt(make_split())
    return model
