"""Published time series: ETTh1, weather of Jena, and traffic on an interstate."""

import csv
import functools
import io
import lzma
import os
import pathlib
import re
from collections.abc import Callable

import numpy as np

from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.files.time_grid import TimeGrid, parse_times
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.series import SeriesSplit, Spans, split_rows
from keras_attn.datasets.splits import Dataset

# 12, 4 and 4 months of 30 days (Zhou et al., arXiv:2012.07436); the rest of the file is not used.
ETT_SPANS: Spans = {"train": (0, 8640), "validation": (8640, 11520), "test": (11520, 14400)}
ETT_NAMES = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
WEATHER_SHARES = (0.7, 0.2)  # of training and test rows, each rounded down; validation is between
TRAFFIC_FILE = "Metro_Interstate_Traffic_Volume.csv"
# The sensor's record has a gap of ten months, from August 2014 to June 2015. What follows is nearly
# complete: it is split by time, the last year for the test.
TRAFFIC_FIRST, TRAFFIC_VALIDATION, TRAFFIC_TEST = "2015-07-01", "2017-04-01", "2017-10-01"
TRAFFIC_NAMES = ("traffic_volume", "temp", "rain_1h", "snow_1h", "clouds_all")


@register_dataset("etth1", task="forecasting")
def load_etth1(data_dir: str | os.PathLike[str] | None = None) -> Dataset[SeriesSplit]:
    """Open ETTh1: oil temperature and six loads of a power transformer, hourly, for two years.

    The splits are those of Zhou et al. (Informer, arXiv:2012.07436): 12, 4 and 4 months.

    Args:
        data_dir: Folder of `ETTh1.csv` or `ETTh1.csv.xz`, or a folder with it in `ett/`. None means
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (8,640 rows), `"validation"` (2,880) and `"test"` (2,880).

    Raises:
        DatasetNotFoundError: On access to a split, if the file is not on disk.
        ValueError: On access to a split, if the file is damaged.

    Example:

    >>> list(load_etth1())
    ['train', 'validation', 'test']
    """

    def read() -> dict[str, SeriesSplit]:
        path = _find(data_dir, "ett", "ETTh1.csv")
        header, rows = _read_csv(path, "utf-8", ("date", *ETT_NAMES))
        times = parse_times([row[0] for row in rows], str(path)).astype("datetime64[s]")
        values = _numbers(path, rows)
        end = ETT_SPANS["test"][1]
        return split_rows(values[:end], times[:end], header[1:], ETT_SPANS)

    return _dataset("etth1", read)


@register_dataset("weather", task="forecasting")
def load_weather(data_dir: str | os.PathLike[str] | None = None) -> Dataset[SeriesSplit]:
    """Open the weather of Jena in 2020: 21 measurements, every 10 minutes.

    The splits are those of Wu et al. (Autoformer, arXiv:2106.13008): 70, 10 and 20 % of the rows.

    Args:
        data_dir: Folder of `weather.csv` or `weather.csv.xz`, or a folder with it in `weather/`.
            None means the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (36,887 rows), `"validation"` (5,270) and `"test"` (10,539).

    Raises:
        DatasetNotFoundError: On access to a split, if the file is not on disk.
        ValueError: On access to a split, if the file is damaged.

    Example:

    >>> list(load_weather())
    ['train', 'validation', 'test']
    """

    def read() -> dict[str, SeriesSplit]:
        path = _find(data_dir, "weather", "weather.csv")
        header, rows = _read_csv(path, "latin-1", ("date",))
        values = _numbers(path, rows)
        written = parse_times([row[0] for row in rows], str(path)).astype("datetime64[s]")
        # The published splits count rows. A few times are repeated or missing, which the published
        # figures do not know of: the rows are taken to be 10 minutes apart.
        times = written[0] + np.arange(len(rows)) * np.timedelta64(600, "s")
        train, test = (int(len(rows) * share) for share in WEATHER_SHARES)
        spans = {
            "train": (0, train),
            "validation": (train, len(rows) - test),
            "test": (len(rows) - test, len(rows)),
        }
        return split_rows(values, times, [_ascii(name) for name in header[1:]], spans)

    return _dataset("weather", read)


@register_dataset("traffic", task="forecasting")
def load_traffic(data_dir: str | os.PathLike[str] | None = None) -> Dataset[SeriesSplit]:
    """Open the hourly traffic on Interstate 94 westbound, with the weather (UCI data set 492).

    The rows of an hour, one for each description of its weather, are merged into their mean; hours
    without a row are rows of NaN; temperatures of 0 kelvin and rain of more than 100 mm an hour,
    which are errors of the record, are missing values too. The hours from July 2015 on are split
    by time: the last year is the test split, and the half year before it for validation.

    Args:
        data_dir: Folder of `Metro_Interstate_Traffic_Volume.csv` or this `.xz`, or a folder with it
            in `traffic/`. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (15,360 rows), `"validation"` (4,392) and `"test"` (8,760). The first
        variable is the traffic in vehicles per hour.

    Raises:
        DatasetNotFoundError: On access to a split, if the file is not on disk.
        ValueError: On access to a split, if the file is damaged.

    Example:

    >>> list(load_traffic())
    ['train', 'validation', 'test']
    """

    def read() -> dict[str, SeriesSplit]:
        path = _find(data_dir, "traffic", TRAFFIC_FILE)
        header, rows = _read_csv(path, "utf-8", ("holiday", "temp"))
        times = parse_times(
            [row[header.index("date_time")] for row in rows], str(path), day_first=True
        )
        columns = [header.index(name) for name in TRAFFIC_NAMES]
        values = _numbers(path, [["", *(row[column] for column in columns)] for row in rows])
        values[values[:, 1] == 0.0, 1] = np.nan
        values[values[:, 2] > 100.0, 2] = np.nan
        grid = TimeGrid.fit(times, values, step=np.timedelta64(3600, "s"))
        bounds = [
            int(np.searchsorted(grid.times, np.datetime64(day, "s")))
            for day in (TRAFFIC_FIRST, TRAFFIC_VALIDATION, TRAFFIC_TEST)
        ]
        first, validation, test = (bound - bounds[0] for bound in bounds)
        values, times = grid.values[bounds[0] :].astype("float32"), grid.times[bounds[0] :]
        spans = {
            "train": (first, validation),
            "validation": (validation, test),
            "test": (test, len(times)),
        }
        return split_rows(values, times, TRAFFIC_NAMES, spans)

    return _dataset("traffic", read)


def _dataset(name: str, read: Callable[[], dict[str, SeriesSplit]]) -> Dataset[SeriesSplit]:
    """Return a data set whose splits are read together, on the first access to one."""
    cached = functools.cache(read)

    def reader(split: str) -> SeriesSplit:
        return cached()[split]

    splits = ("train", "validation", "test")
    return Dataset(name, (), {split: functools.partial(reader, split) for split in splits})


def _find(data_dir: str | os.PathLike[str] | None, folder: str, file: str) -> pathlib.Path:
    """Return the path of a published file, compressed or not."""
    return find_file(file, folder, (file, f"{file}.xz"), data_dir)


def _read_csv(
    path: pathlib.Path, encoding: str, columns: tuple[str, ...]
) -> tuple[list[str], list[list[str]]]:
    """Return the header, which must begin with `columns`, and the rows of a published file."""
    try:
        content = path.read_bytes()
        text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode(encoding)
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    header, *rows = list(csv.reader(io.StringIO(text)))
    if tuple(header[: len(columns)]) != columns:
        raise ValueError(
            f"{path}: the header must begin with {', '.join(columns)}. Received: "
            f"{', '.join(header)[:80]!r}."
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{path}: line {number} must have {len(header)} fields. Received: {len(row)}."
            )
    return header, rows


def _ascii(name: str) -> str:
    """Return the name of a measurement with "m2" and "u" for signs that copies of the file lost."""
    name = re.sub(r"/m[^\x00-\x7f]+", "/m2", name)
    return re.sub(r"\([^\x00-\x7f]+mol", "(umol", name)


def _numbers(path: pathlib.Path, rows: list[list[str]]) -> np.ndarray:
    """Return all fields of rows but the first as float32."""
    try:
        return np.array([row[1:] for row in rows], "float32")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
