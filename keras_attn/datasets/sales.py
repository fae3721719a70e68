"""`sales`: a generated series of the hourly sales and visitors of a shop."""

import functools
import os

import numpy as np

from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.series import SeriesSplit, split_rows
from keras_attn.datasets.splits import Dataset

NAMES = ("visitors", "sales")
DAYS = 120


def draw_sales(seed: int = 0, days: int = DAYS) -> Dataset[SeriesSplit]:
    """Generate the data set. It needs no file and no network.

    Visitors have a daily and a weekly rhythm, a slow trend and campaigns of some days, and sales
    follow them by two hours, with noise. The last tenth of the days is the test split, the tenth
    before it the validation split.

    Args:
        seed: Integer that determines noise and campaigns.
        days: Number of days.

    Returns:
        The splits, drawn on access.

    Example:

    >>> draw_sales()["test"]
    SeriesSplit(288 rows of 2 variables)
    """

    @functools.cache
    def read() -> dict[str, SeriesSplit]:
        random = np.random.default_rng(seed)
        hours = np.arange(24 * days)
        day = np.exp(2.0 * np.sin((hours % 24 - 8) / 24 * 2 * np.pi))
        week = np.where(hours // 24 % 7 < 5, 1.0, 1.6)
        campaigns = np.zeros(len(hours))
        for start in random.choice(days - 4, days // 15, replace=False) * 24:
            campaigns[start : start + 72] += random.uniform(0.3, 0.9)
        trend = 1.0 + 0.3 * np.sin(hours / len(hours) * 5.0)
        visitors = 20.0 * day * week * trend * (1.0 + campaigns)
        visitors *= random.lognormal(0.0, 0.08, len(hours))
        sales = 7.5 * np.roll(visitors, 2) * random.lognormal(0.0, 0.12, len(hours))
        values = np.stack([visitors, sales], axis=1).astype("float32")
        times = np.datetime64("2024-01-01T00", "s") + hours * np.timedelta64(3600, "s")
        tenth = 24 * (days // 10)
        first, last = len(hours) - 2 * tenth, len(hours) - tenth
        spans = {"train": (0, first), "validation": (first, last), "test": (last, len(hours))}
        return split_rows(values, times, NAMES, spans)

    names = ("train", "validation", "test")
    readers = {name: functools.partial(lambda name: read()[name], name) for name in names}
    return Dataset("sales", (), readers)


@register_dataset("sales", task="forecasting")
def load_sales(data_dir: str | os.PathLike[str] | None = None) -> Dataset[SeriesSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_sales()
