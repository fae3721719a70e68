"""Time series: published ones, your own tables, and how rows are brought to equal intervals."""

import lzma

import numpy as np
import pandas as pd
import pytest

from keras_attn import datasets
from keras_attn.datasets.files.time_grid import TimeGrid, parse_step, parse_times
from keras_attn.datasets.series import rows_from
from tests.conftest import real_data_dir
from tests.tasks.small_forecasters import make_split, times_of

# Published with DLinear (Zeng et al., arXiv:2205.13504): the last value repeated, on ETTh1.
REPEATED = {96: 1.295, 192: 1.325, 336: 1.323, 720: 1.339}
OLD_BATCH = 32  # windows; the published code left out the last batch, if it was not full
HOURS = "time,load,wind\n2024-01-01 00:00,1,5\n2024-01-01 01:00,2,NA\n2024-01-01 02:00,3,\n"


def write(folder, text, name="series.csv"):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_windows_of_a_split_begin_in_the_rows_before_it():
    split = make_split(100, start=80)
    assert len(split) == 20
    assert split.origins(48, 12).tolist() == list(range(80, 89))
    assert make_split(100).origins(48, 12).tolist() == list(range(48, 89))
    part = split.take(slice(5, 10))
    assert (part.start, len(part), len(part.values)) == (85, 5, 90)
    np.testing.assert_array_equal(part.inputs, split.inputs[5:10])
    assert part.fingerprint != split.fingerprint == make_split(100, start=80).fingerprint
    windows = rows_from(split.values, np.array([-2, 98]), 4)
    assert np.isnan(windows[0, :2]).all()
    assert np.isnan(windows[1, 2:]).all()
    np.testing.assert_array_equal(windows[0, 2:], split.values[:2])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda s: datasets.SeriesSplit(s.inputs[0], s.times, s.names), ValueError, r"\(T, V\)"),
        (lambda s: datasets.SeriesSplit(s.inputs, s.times[1:], s.names), ValueError, "each row"),
        (lambda s: datasets.SeriesSplit(s.inputs, s.times, ("a",)), ValueError, "2 variables"),
        (lambda s: datasets.SeriesSplit(s.inputs, s.times, s.names, 99), ValueError, "`start`"),
        (
            lambda s: datasets.SeriesSplit(s.inputs, s.times[[0, 1, 1, *range(3, 20)]], s.names),
            ValueError,
            "equal intervals",
        ),
        (lambda s: s.take([1, 2]), TypeError, "taken by a slice"),
    ],
)
def test_splits_that_cannot_be(change, error, match):
    with pytest.raises(error, match=match):
        change(make_split(20))


def test_etth1_is_read_from_its_file(tmp_path):
    rows = ["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT"]
    times = times_of(14_500, "2016-07-01").astype(str)
    rows += [f"{time.replace('T', ' ')},{i},0,0,0,0,0,1" for i, time in enumerate(times)]
    folder = tmp_path / "ett"
    folder.mkdir()
    (folder / "ETTh1.csv.xz").write_bytes(lzma.compress("\n".join(rows).encode()))
    dataset = datasets.load("etth1", tmp_path)
    sizes = {name: (len(split), split.start) for name, split in dataset.items()}
    assert sizes == {"train": (8640, 0), "validation": (2880, 8640), "test": (2880, 11520)}
    assert dataset["test"].inputs[0, 0] == 11520
    assert dataset["test"].names == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    (folder / "ETTh1.csv.xz").write_bytes(b"no xz")
    with pytest.raises(ValueError, match="is damaged"):
        datasets.load("etth1", tmp_path)["train"]
    with pytest.raises(datasets.DatasetNotFoundError, match=r"Looked for ETTh1\.csv, ETTh1"):
        datasets.load("etth1", folder / "none")["train"]


def test_repeated_and_missing_hours_of_traffic(tmp_path):
    header = "holiday,temp,rain_1h,snow_1h,clouds_all,weather_main,weather_description,date_time"
    lines = [
        "None,280,0,0,0,Mist,mist,13/07/2015 0:00,100",
        "None,0,0,0,0,Mist,mist,13/07/2015 1:00,200",
        "None,290,9831.3,0,0,Rain,rain,13/07/2015 1:00,200",
        "None,281,0,0,0,Mist,mist,13/07/2015 3:00,300",
    ]
    write(tmp_path, "\n".join([f"{header},traffic_volume", *lines]), "x")
    (tmp_path / "x").rename(tmp_path / "Metro_Interstate_Traffic_Volume.csv")
    train = datasets.load("traffic", tmp_path)["train"]
    np.testing.assert_array_equal(train.values[:, 0], [100, 200, np.nan, 300])
    assert train.values[1, 1] == 290  # the other row has no temperature
    assert train.values[1, 2] == 0  # no rain of 9.8 m in an hour


@pytest.mark.data("ett")
@pytest.mark.parametrize("horizon", list(REPEATED))
def test_the_protocol_is_that_of_the_published_figures(horizon):
    splits = datasets.load("etth1", real_data_dir("ett"))
    train = splits["train"].inputs.astype("float64")
    test = splits["test"]
    values = (test.values - train.mean(axis=0)) / train.std(axis=0)
    origins = test.origins(336, horizon)
    targets, last = rows_from(values, origins, horizon), values[origins - 1]
    errors = ((targets - last[:, None]) ** 2).mean(axis=(1, 2))
    scored = len(errors) // OLD_BATCH * OLD_BATCH
    assert errors[:scored].mean() == pytest.approx(REPEATED[horizon], abs=5e-4)
    assert errors.mean() == pytest.approx(REPEATED[horizon], abs=8e-3)  # of every window


@pytest.mark.data("weather")
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("weather", (36_887, 5_270, 10_539)), ("traffic", (15_360, 4_392, 8_760))],
)
def test_real_series_have_their_published_sizes(name, sizes):
    dataset = datasets.load(name, real_data_dir(name))
    assert tuple(len(split) for split in dataset.values()) == sizes
    assert all(name.isascii() for name in dataset["train"].names)


def test_a_table_is_read_with_an_account(tmp_path):
    table = datasets.read_series(write(tmp_path, HOURS))
    np.testing.assert_array_equal(table.values, [[1, 5], [2, np.nan], [3, np.nan]])
    assert (table.name, table.names) == ("series", ("load", "wind"))
    text = (
        "when;x;note\n2024-01-01 03:00;4;a\n2024-01-01 00:02;1;b\n2024-01-01 01:00;2;c\n;9;d\n"
        "2024-01-01 01:00;3;e\n2024-01-01 02:00;5\n2024-01-01 05:00;6;f\n"
    )
    path = write(tmp_path, text, "other.txt")
    table = datasets.read_series(path, time_column="when", delimiter=";", step="1h")
    np.testing.assert_array_equal(table.values[:, 0], [1, 2.5, np.nan, 4, np.nan, 6])
    account = str(table.account)
    for part in (
        "7 rows read, 5 kept, 2 skipped",
        "6 times, every 1 hour, from 2024-01-01T00:02:00",
        "Sorted: the rows were not in order of time.",
        "Merged into the mean of their time: 1 row more.",
        "Rounded to the nearest time: 4 rows.",
        "missing values: 2 times (33.3 %)",
        "1 missing time (line 5)",
        "1 ragged (another number of fields than the header) (line 7)",
    ):
        assert part in account, account


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        (HOURS, {"time_column": "tme"}, "Did you mean 'time'"),
        (HOURS, {"variables": "load,wnd"}, "Did you mean 'wind'"),
        (HOURS, {"step": "hourly"}, "`step` must be a number and a unit"),
        (HOURS, {"header": False}, "`header` must not be False"),
        ("time,load\n", {}, "no rows of 2 fields"),
        ("time,load\nsoon,1\nlater,2", {}, "on line 2 must be written as"),
        ("time,load\n2024-01-01,1", {}, "rows at two different times. Received: 1 row"),
        ("time,load\n2024-01-01,x\n2024-01-02,y", {}, "no column of numbers"),
        ("time,load\n2024-01-01,x\n2024-01-02,2", {"variables": "load"}, "on line 2: 'x'"),
        ("time,load\n2024-01-01,inf\n2024-01-02,2", {}, "finite numbers"),
        ("time,a,a\n2024-01-01,1,2\n2024-01-02,2,3", {}, "Received twice: 'a'"),
        ("time,load\n1/2/2024,1\n2/2/2024,2", {}, "whether the day or the month comes first"),
        ("time,x\n2024-01-01 00:00,1\n2024-01-01 00:01,1\n2024-01-02,1", {}, "too irregular"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, options, match):
    with pytest.raises(ValueError, match=match):
        datasets.read_series(write(tmp_path, text), **options)


CANNOT_BE_READ = [
    ("time,x\n2024-01-01,1\n2024-02-01,2\n2024-03-01,3", {}, "times are those of months"),
    ("time,x\n2021-01-01,1\n2022-01-01,2\n2023-01-01,3", {}, "times are those of years"),
    ("time,x\n2024-01-01 00:00:00.0,1\n2024-01-01 00:00:00.1,1", {}, "whole seconds"),
    ("time;x\n2024-01-01;1\n2024-01-02;2", {}, "pass `delimiter=';'`"),
    ("time;x\n2024-01-01;1,5\n2024-01-02;2", {"delimiter": ";"}, "line 2: '1,5'.*`decimal=','`"),
    ("time,x\n2024-01-01,10%\n2024-01-02,2%", {}, "line 2: '10%'.*without units"),
    ("time,x\n2024-01-01,1_000\n2024-01-02,2_000", {}, "line 2: '1_000'"),
    ("time,x\n45292,1\n45293,2", {}, "'45292'. It looks like a date of Excel"),
    ("time,x\n2024-01-01,1\n2024-01-02,2", {"decimal": "."} | {"delimiter": ",,"}, "one char"),
    ("time,x\n2024-01-01,1\n2024-01-08,2", {"step": "1d"}, "about 1 week apart"),
]


def test_tables_that_would_be_distorted(tmp_path):
    for text, options, match in CANNOT_BE_READ:
        with pytest.raises(ValueError, match=match):
            datasets.read_series(write(tmp_path, text), **options)
    path = tmp_path / "gbk.csv"
    path.write_bytes("时间,销售额\n2024-01-01,1\n2024-01-02,2".encode("gb18030"))
    with pytest.raises(ValueError, match=r"not UTF-8.*gb18030"):
        datasets.read_series(path)
    assert datasets.read_series(path, encoding="gb18030").names == ("销售额",)
    with pytest.raises(TypeError, match="`path` must be the path of a table, or a data frame"):
        datasets.read_series(np.ones(3))


def test_columns_that_are_not_read_are_in_the_account(tmp_path):
    text = "time,x,y,z,shop\n2024-01-01,1,5,,a\n2024-01-02,2,closed,,b\n2024-01-03,2,7,,a"
    account = str(datasets.read_series(write(tmp_path, text)).account)
    assert (
        "Not read: 'y' (line 3: 'closed'; 2 other cells are numbers), 'z' (no value), "
        "'shop' (line 2: 'a')." in account
    )
    rows = [f"2024-01-0{day},{shop},{day}" for day in (1, 2, 3) for shop in "ab"]
    with pytest.warns(UserWarning, match="averaged. They differ in the column 'shop'"):
        datasets.read_series(write(tmp_path, "\n".join(["time,shop,x", *rows])))


def test_numbers_with_decimal_commas(tmp_path):
    path = write(tmp_path, "time;x\n1.2.2024;1,5\n2.2.2024;-1.038,25\n13.2.2024;7\n")
    with pytest.raises(ValueError, match="too irregular"):
        datasets.read_series(path, delimiter=";", decimal=",")
    path = write(tmp_path, "time;x\n1.2.2024;1,5\n2.2.2024;-1.038,25\n3.2.2024;7\n")
    with pytest.raises(ValueError, match="`day_first=True`"):
        datasets.read_series(path, delimiter=";", decimal=",")
    table = datasets.read_series(path, delimiter=";", decimal=",", day_first=True)
    assert table.values[:, 0].tolist() == [1.5, -1038.25, 7.0]


def test_a_longer_step_averages_from_each_time_on(tmp_path):
    times = times_of(48)
    path = write(tmp_path, "\n".join(["time,x", *(f"{t},{i}" for i, t in enumerate(times))]))
    table = datasets.read_series(path, step="1d")
    assert table.values[:, 0].tolist() == [np.mean(range(24)), np.mean(range(24, 48))]
    assert table.times.tolist() == [times[0].tolist(), times[24].tolist()]
    assert "Averaged over 1 day, from each time up to the next" in str(table.account)


def test_a_data_frame_is_brought_to_equal_intervals():
    times = pd.DatetimeIndex(times_of(6)).tz_localize("UTC").tz_convert("Asia/Shanghai")
    values = 1e9 + np.arange(6.0)  # which float32 does not hold
    frame = pd.DataFrame({"x": values, "shop": "a"}, index=times).drop(times[2])[::-1]
    table = datasets.read_series(frame)
    np.testing.assert_array_equal(table.values[:, 0], [*values[:2], np.nan, *values[3:]])
    np.testing.assert_array_equal(table.times, times_of(6))
    assert "Sorted" in str(table.account)
    assert "Not read: 'shop' (row 0: 'a')" in str(table.account)
    with pytest.raises(ValueError, match="times in its index or in a column"):
        datasets.read_series(frame.reset_index(drop=True))
    with pytest.raises(ValueError, match="`decimal` is for files"):
        datasets.read_series(frame, decimal=",")


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no table"):
        datasets.read_series(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="must end in one of"):
        datasets.read_series(write(tmp_path, "x", "series.parquet"))


def test_times_in_several_forms():
    day, month = (
        parse_times([text], "x", day_first=True) for text in ("2/1/2024 5:00", "02.01.2024")
    )
    assert day[0] == np.datetime64("2024-01-02T05:00:00")
    assert month[0] == np.datetime64("2024-01-02")
    american = parse_times(["1/31/2024", "2/1/2024"], "x")
    assert american[1] == np.datetime64("2024-02-01")
    offset = parse_times(["2024-01-01T12:00:00+02:00"], "x")
    assert offset[0] == np.datetime64("2024-01-01T10:00:00")
    for text in ("2024/1/2 5:00", "2024年1月2日 5:00", "1/2/2024 5:00 AM", "1704171600"):
        assert parse_times([text], "x", day_first=False)[0] == day[0]
    assert parse_times(["2024-01"], "x")[0] == np.datetime64("2024-01-01")
    assert parse_step("2 h") == np.timedelta64(7200, "s")


def test_a_grid_keeps_what_is_regular():
    times, values = times_of(10), np.arange(20, dtype="float32").reshape(10, 2)
    grid = TimeGrid.fit(times, values)
    np.testing.assert_array_equal(grid.values, values)
    np.testing.assert_array_equal(grid.times, times)
    assert (grid.merged, grid.moved, grid.empty, grid.reordered) == (0, 0, 0, False)
    shuffled = TimeGrid.fit(times[::-1], values[::-1])
    np.testing.assert_array_equal(shuffled.values, values)
    assert shuffled.reordered


def test_a_table_is_split_by_time(tmp_path):
    lines = [f"{time},{i}" for i, time in enumerate(times_of(50).astype(str))]
    table = datasets.read_series(write(tmp_path, "\n".join(["time,x", *lines])))
    dataset = datasets.split_series(table, validation=0.2, test=0.1)
    assert {name: len(split) for name, split in dataset.items()} == {
        **{"train": 35, "validation": 10, "test": 5}
    }
    assert dataset["test"].inputs[:, 0].tolist() == [45, 46, 47, 48, 49]
    assert set(datasets.split_series(table, test=0)) == {"train", "validation"}
    other = datasets.split_series(table, test_data=table)
    assert (len(other["test"]), other["test"].start) == (50, 0)
    with pytest.raises(ValueError, match="must be fractions"):
        datasets.split_series(table, validation=0.6, test=0.6)
