"""Your own tables: what is read, what is refused, what is reported, and how they are cut."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn._label_names import MISSING_VALUES
from keras_attn._names import unknown
from keras_attn.datasets.files._account import Skipped

GOOD = [("Lovely tea.", "good"), ("Cold soup.", "bad"), ("A fine day.", "good")]


def as_csv(rows, header="text,label", delimiter=","):
    lines = [delimiter.join(header.split(","))]
    lines += [delimiter.join(row) for row in rows]
    return "\n".join(lines) + "\n"


def as_json(rows):
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def reasons(table):
    """The account with each reason cut to its first word."""
    account = table.account
    assert account.kept == len(table) == sum(account.examples.values())
    assert account.kept + sum(part.count for part in account.skipped.values()) == account.rows
    return {reason.split()[0]: skipped for reason, skipped in account.skipped.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", as_csv(GOOD)),
        ("MINE.CSV", as_csv(GOOD).replace("\n", "\r\n")),
        ("mine.tsv", as_csv(GOOD, delimiter="\t")),
        ("mine.jsonl", as_json(GOOD)),
        ("mine.ndjson", as_json(GOOD)),
        ("mine.json", "\n" + as_json(GOOD) + "\n\n"),
    ],
)
def test_every_format_gives_the_same_table(write, name, content):
    table = datasets.read_texts(write(content, name))
    assert table.texts == ("Lovely tea.", "Cold soup.", "A fine day.")
    assert table.labels == ("good", "bad", "good")
    assert table.label_names == ("bad", "good")
    assert table.name.lower() == "mine"
    assert (table.account.rows, table.account.kept, table.account.skipped) == (3, 3, {})
    assert table.account.examples == {"bad": 1, "good": 2}


def test_columns_delimiter_and_names_are_chosen(write):
    path = write("id;verdict;body\n1;up;yes, it is\n2;down;no\n3;up;so\n", "mine.csv")
    table = datasets.read_texts(
        path,
        text_column="body",
        label_column="verdict",
        delimiter=";",
        label_names=["up", "down", "level"],
    )
    assert table.texts == ("yes, it is", "no", "so")
    assert table.label_names == ("up", "down", "level")
    assert table.account.examples == {"up": 2, "down": 1, "level": 0}
    assert "'down', 'level' have fewer than 2" in str(table.account)


def test_texts_may_hold_delimiters_quotes_and_lines_and_keep_their_line_numbers(write):
    path = write('text,label\n"one, ""two""\nthree",a\n\nfour,b\n"",a\n', "mine.csv")
    table = datasets.read_texts(path)
    assert table.texts == ('one, "two"\nthree', "four")
    assert reasons(table) == {"empty": Skipped(1, (6,))}


def test_a_byte_order_mark_is_no_part_of_the_first_column(write):
    assert len(datasets.read_texts(write(b"\xef\xbb\xbf" + as_csv(GOOD).encode(), "mine.csv"))) == 3
    utf16 = as_csv(GOOD).encode("utf-16")
    assert len(datasets.read_texts(write(utf16, "wide.csv"), encoding="utf-16")) == 3
    marked = b"\xff\xfe" + as_csv(GOOD).encode("utf-16-le")
    assert len(datasets.read_texts(write(marked, "marked.csv"), encoding="utf-16-le")) == 3
    assert len(datasets.read_texts(write(utf16, "wide.csv"))) == 3


def test_numbers_and_booleans_become_names(write):
    rows = [("a", 0), ("b", 1), ("c", 1.0), ("d", True), ("e", False), ("f", 0.5), (7, "0")]
    table = datasets.read_texts(write(as_json(rows), "mine.jsonl"))
    assert table.labels == ("0", "1", "1", "true", "false", "0.5", "0")
    assert table.texts[-1] == "7"


def test_every_row_that_is_left_out_is_accounted_for(write):
    rows = [
        *GOOD,  # lines 2 to 4
        ("  ", "good"),
        ("no label", ""),
        ("too", "many", "fields"),
        ("too few",),
        ("Cold soup.", "bad"),
        ("Odd.", "good"),
        ("Odd.", "bad"),
        (" Odd. ", "good"),
        ("Grey.", "neutral"),
        ("Lovely tea.", "good"),
        ("LOVELY  tea!", "good"),
        ("odd", "bad"),
    ]
    table = datasets.read_texts(write(as_csv(rows), "mine.csv"), label_names=["bad", "good"])
    assert reasons(table) == {
        "empty": Skipped(1, (5,)),
        "missing": Skipped(1, (6,)),
        "ragged": Skipped(2, (7, 8)),
        "unknown": Skipped(1, (13,)),
        "contradictory": Skipped(4, (10, 11, 12, 16)),
        "exact": Skipped(2, (9, 14)),
        "duplicate": Skipped(1, (15,)),
    }
    shown = str(table.account)
    assert "15 rows read, 3 kept, 12 skipped" in shown
    assert "Examples: 'bad' 1, 'good' 2." in shown
    assert "'bad' has fewer than 2" in shown
    assert "2 exact duplicate (lines 9, 14)" in shown
    assert len(shown.splitlines()) == 12


def test_long_lists_of_labels_are_cut(tmp_path):
    names = [f"label {number:03}" for number in range(100)]
    rows = [f"text {copy} of {name},{name}" for copy in range(2) for name in names]
    rows += [f"more of {names[7]},{names[7]}", "once,seldom"]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["text,label", *rows]))
    lines = str(datasets.read_texts(path).account).splitlines()
    (examples,) = (line for line in lines if line.startswith("Examples:"))
    assert examples.startswith("Examples: 'label 000' 2, 'label 001' 2, ")
    assert examples.endswith(
        "'label 009' 2, ... (101 labels, from 1 of 'seldom' to 3 of 'label 007')."
    )
    assert (
        "The label 'seldom' has fewer than 2 examples, too few to learn it or to test it. Add "
        "examples."
    ) in lines
    message = unknown("label", "label 0077", names)
    assert "Did you mean 'label 077'" in message
    assert message.endswith("'label 009', ... (100 in all).")


def test_only_the_first_lines_of_a_reason_are_shown(write):
    table = datasets.read_texts(write(as_csv([*GOOD, *[("", "good")] * 1_200]), "mine.csv"))
    assert reasons(table)["empty"] == Skipped(1_200, (5, 6, 7, 8, 9))
    assert "1,200 empty text (lines 5, 6, 7, 8, 9, ...)" in str(table.account)


def test_json_rows_that_are_left_out_are_accounted_for(write):
    lines = [
        as_json(GOOD).strip(),
        '{"text": null, "label": "good"}',
        '{"label": "good"}',
        '{"text": "no label", "label": NaN}',
        '{"text": ["a"], "label": "good"}',
        '["a", "good"]',
        '{"text": "long", "label": ' + "1" * 5_000 + "}",
        '{"text": "cut off',
    ]
    table = datasets.read_texts(write("\n".join(lines), "mine.jsonl"))
    assert reasons(table) == {
        "empty": Skipped(2, (4, 5)),
        "missing": Skipped(1, (6,)),
        "malformed": Skipped(4, (7, 8, 9, 10)),
    }


def many(count):
    return [(f"Remark {number}.", ("bad", "good")[number % 2]) for number in range(count)]


@pytest.mark.parametrize("bad", [b"caf\xe9,good\n", b"nul\0,good\n"])
def test_a_row_that_is_not_utf8_or_holds_nul_is_skipped_and_counted(write, bad):
    content = as_csv(many(150)).encode() + bad + "naïve,good\n".encode()
    table = datasets.read_texts(write(content, "mine.csv"))
    assert reasons(table) == {"undecodable": Skipped(1, (152,))}
    assert table.texts[-1] == "naïve"


def test_json_rows_that_are_not_utf8_are_skipped_and_counted(write):
    bad = b'{"text": "caf\xe9", "label": "good"}\n{"text": "\\u0000", "label": "good"}\n'
    half = b'{"text": "\\ud800", "label": "good"}\n'
    content = as_json(many(400)).encode() + bad + half
    table = datasets.read_texts(write(content, "mine.jsonl"))
    assert reasons(table) == {"undecodable": Skipped(3, (401, 402, 403))}


def test_more_than_a_hundredth_undecodable_is_another_encoding(write):
    content = as_csv([*many(150), ("café", "good"), ("thé", "good")]).encode("latin-1")
    with pytest.raises(
        ValueError, match=r"2 of the 152 rows.*lines 152, 153.*'cp1252'`: .café,good"
    ):
        datasets.read_texts(write(content, "mine.csv"))
    table = datasets.read_texts(write(content, "mine.csv"), encoding="latin-1")
    assert table.texts[-2:] == ("café", "thé")
    with pytest.raises(ValueError, match=r"header.*encoding=.cp1252"):
        datasets.read_texts(
            write("té,label\na,b\n".encode("latin-1"), "mine.csv"), text_column="té"
        )


def test_a_text_of_a_megabyte_is_read_and_the_limit_of_csv_is_left_as_it_was(write):
    limit = csv.field_size_limit()
    table = datasets.read_texts(write(as_csv([*GOOD, ("word " * 250_000, "good")]), "mine.csv"))
    assert len(table.texts[-1]) == 1_249_999
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("row", "after", "says"),
    [
        ('"never closed,bad', "plain,good\n" * 3, "unexpected end of data"),
        ('"closed" too early,bad', "plain,good\n", "expected after"),
    ],
)
def test_a_quote_that_does_not_match_names_its_line(write, row, after, says):
    path = write(as_csv(GOOD) + f"{row}\n{after}", "mine.csv")
    with pytest.raises(ValueError, match=f"starts on line 5 is not well quoted.*{says}"):
        datasets.read_texts(path)
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("mine.xlsx", "", {}, r"must end in one of \.csv, \.tsv, .*\.jsonl.*mine\.xlsx"),
        ("mine", as_csv(GOOD), {}, "must end in one of"),
        ("mine.csv", as_csv(GOOD), {"text_column": "txt"}, "'txt'. Did you mean 'text'.*'label'"),
        ("mine.csv", as_csv(GOOD), {"label_column": "lable"}, "Did you mean 'label'"),
        ("mine.jsonl", as_json(GOOD), {"label_column": "lable"}, "Did you mean 'label'"),
        ("mine.csv", as_csv(GOOD, delimiter=";"), {}, "the delimiter were ';'"),
        ("mine.csv", as_csv(GOOD, delimiter="\t"), {}, r"the delimiter were '\\t'"),
        ("mine.csv", as_csv([], "text,label,text"), {}, "2 columns named 'text'"),
        ("mine.csv", "", {}, "is empty"),
        ("mine.jsonl", "\n\n", {}, "is empty"),
        ("mine.csv", as_csv([]), {}, "a header and no rows"),
        ("mine.csv", as_csv([("", "a"), ("b", "")]), {}, "no row that can be used"),
        ("mine.csv", as_csv(GOOD), {"label_names": ("x", "y")}, "(?s)no row.*3 unknown label"),
        ("mine.csv", as_csv(GOOD), {"label_names": ("good", "good")}, "two or more different"),
        ("mine.csv", as_csv(GOOD), {"label_names": ("good",)}, "two or more different"),
        ("mine.csv", as_csv(GOOD), {"label_names": "good"}, "two or more different"),
        ("mine.csv", as_csv(GOOD), {"label_names": (1, "1.0")}, "two or more different"),
        ("mine.csv", as_csv(GOOD), {"label_column": "text"}, "must be two columns"),
        ("mine.csv", as_csv(GOOD), {"delimiter": "||"}, r"one character.*'\|\|'"),
        ("mine.csv", as_csv(GOOD), {"delimiter": '"'}, "no quote and no line end"),
        ("mine.jsonl", as_json(GOOD), {"delimiter": ","}, r"for \.csv, \.tsv and"),
        ("mine.csv", as_csv(GOOD), {"encoding": "utf-7-bit"}, "'latin-1'.*Received: 'utf-7-bit'"),
        ("mine.csv", as_csv(GOOD), {"encoding": "base64"}, "is not a text in base64"),
        ("mine.csv", as_csv(GOOD).encode("utf-16-le"), {}, "is NUL.*'utf-16-le'"),
        ("mine.csv", b"a", {"encoding": "utf-16"}, "is not a text in utf-16"),
        ("mine.json", json.dumps([{"text": "a", "label": "b"}]), {}, "JSON array.*jq -c"),
        ("mine.jsonl", "one\ntwo\n", {}, "(?s)no row that can be used.*2 malformed"),
    ],
)
def test_what_cannot_be_read_says_why(write, name, content, options, message):
    path = write(content, name)
    with pytest.raises(ValueError, match=message):
        datasets.read_texts(path, **options)


def test_a_table_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        datasets.read_texts(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder\.csv"):
        datasets.read_texts(tmp_path / "folder.csv")


def table_of(counts):
    labels = tuple(name for name, count in counts.items() for _ in range(count))
    texts = tuple(f"{label} {number}" for number, label in enumerate(labels))
    account = datasets.TableAccount("mine.csv", len(texts), len(texts), {}, counts)
    return datasets.TextTable("mine", texts, labels, tuple(counts), account)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (("a", "b"), ("x",), "2 texts, 1 label"),
        (("a", "a"), ("x", "y"), "must differ"),
        (("a", "b"), ("x", "z"), "'z'"),
    ],
)
def test_what_is_no_table_is_refused(texts, labels, message):
    account = datasets.TableAccount("", 2, 2, {}, {})
    with pytest.raises(ValueError, match=message):
        datasets.TextTable("mine", texts, labels, ("x", "y"), account)


def test_splits_are_stratified_disjoint_and_complete():
    counts = {"a": 500, "b": 100, "c": 7, "d": 3, "e": 2, "f": 1}
    table = table_of(counts)
    dataset = datasets.split_table(table, validation=0.2, test=0.1)
    assert (dataset.name, dataset.label_names) == ("mine", tuple(counts))
    found = {
        name: dict(Counter(table.label_names[label] for label in split.labels))
        for name, split in dataset.items()
    }
    assert found == {
        "train": {"a": 350, "b": 70, "c": 5, "d": 1, "e": 2, "f": 1},
        "validation": {"a": 100, "b": 20, "c": 1, "d": 1},
        "test": {"a": 50, "b": 10, "c": 1, "d": 1},
    }
    texts = [text for split in dataset.values() for text in split.texts]
    assert sorted(texts) == sorted(table.texts)
    for split in dataset.values():
        assert all(
            text.startswith(table.label_names[label])
            for text, label in zip(split.texts, split.labels, strict=True)
        )


@pytest.mark.parametrize("count", range(3, 15))
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.6, 0.3), (0.3, 0.69), (0.5, 0.49)])
def test_every_label_with_three_examples_is_in_every_split(count, fractions):
    validation, test = fractions
    dataset = datasets.split_table(
        table_of({"a": count, "b": 20}), validation=validation, test=test
    )
    for split in dataset.values():
        assert set(split.labels) == {0, 1}


def test_the_cut_depends_on_the_seed_alone():
    table = table_of({"a": 50, "b": 50})
    cuts = [datasets.split_table(table, seed=seed)["test"].fingerprint for seed in (0, 0, 1)]
    assert cuts[0] == cuts[1] != cuts[2]
    held_out = datasets.split_table(table)["test"].texts
    assert " ".join(held_out) == "a 3 a 20 a 24 a 26 a 34 b 57 b 63 b 70 b 77 b 78"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 5, "b": 3}, "need 10 examples.*Received: 8 examples.*Label 2 more"),
        ({str(label): 2 for label in range(6)}, "3 or more of some label.*Label 1 more"),
    ],
)
def test_too_few_examples_say_how_many_are_needed(counts, message):
    with pytest.raises(ValueError, match=message):
        datasets.split_table(table_of(counts))


@pytest.mark.parametrize("fractions", [(0, 0.1), (0.1, -0.1), (0.5, 0.5), (-0.1, 0.1), (2, 0.1)])
def test_fractions_that_leave_a_split_empty_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions above 0"):
        datasets.split_table(table_of({"a": 9, "b": 9}), validation=fractions[0], test=fractions[1])


def test_a_file_becomes_a_data_set(write):
    dataset = datasets.split_table(
        datasets.read_texts(write(as_csv(many(40)), "remarks of mine.csv"))
    )
    assert dataset.name == "remarks of mine"
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }
    assert np.bincount(dataset["test"].labels).tolist() == [2, 2]


SEVERAL = [
    ("Rain stopped the match.", "sport|weather"),
    ("A goal.", " sport "),
    ("Nothing at all.", ""),
    ("A goal. ", "weather | sport"),
    ("Frost.", "weather||weather"),
]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_cell_may_hold_several_labels(write, suffix):
    rows = [*SEVERAL, ("Frost.", "weather")]
    if suffix == "jsonl":
        rows = [(text, [name.strip() for name in cell.split("|")]) for text, cell in rows]
        content = as_json(rows)
    else:
        content = as_csv(rows, *(["text\tlabel", "\t"] if suffix == "tsv" else []))
    table = datasets.read_texts(write(content, f"mine.{suffix}"), label_separator="|")
    assert table.multi_label
    assert table.texts == ("Rain stopped the match.", "Nothing at all.", "Frost.")
    assert table.labels == (("sport", "weather"), (), ("weather",))
    assert table.label_names == ("sport", "weather")
    assert table.account.examples == {"sport": 1, "weather": 2}
    assert "1.00 labels per text; 1 text without labels." in table.account.notes
    assert {key.split()[0]: part.count for key, part in table.account.skipped.items()} == {
        "contradictory": 2,
        "exact": 1,
    }


def test_several_labels_are_split_and_checked(write):
    rows = [(f"Text {n}.", ["a", "b", "a|b", "", "b|c"][n % 5]) for n in range(50)]
    table = datasets.read_texts(write(as_csv(rows), "mine.csv"), label_separator="|")
    dataset = datasets.split_table(table)
    assert dataset.multi_label and {name: len(s) for name, s in dataset.items()} == {
        "train": 40, "validation": 5, "test": 5,
    }  # fmt: skip
    for split in dataset.values():
        assert split.labels.shape == (len(split), 3)
        for text, row in zip(split.texts, split.labels, strict=True):
            names = dict(rows)[text].split("|")
            assert [name in names for name in "abc"] == row.astype(bool).tolist()
    assert all(dataset[name].labels.any(axis=0).all() for name in dataset)
    table = datasets.read_texts(
        write(as_csv(rows), "mine.csv"), label_separator="|", label_names=["b", "a"]
    )
    assert len(table) == 40 and table.labels[2] == ("b", "a")
    single = datasets.read_texts(write(as_csv([(t, "a") for t, _ in rows]), "one.csv"))
    with pytest.raises(ValueError, match="both be read with `label_separator`"):
        datasets.split_table(table, test_data=single)
    with pytest.raises(ValueError, match=r"`label_separator` must be .*Received: ','"):
        datasets.read_texts(write(as_csv(rows), "mine.csv"), label_separator=",")


PANDAS = "a,x\nb,nan\nc,y\nd,None\ne,NA\nf,\ng,nan\nh,x\ni,none\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_labels_that_mean_a_missing_value_are_skipped_by_their_spelling(write, suffix):
    rows = [line.split(",") for line in PANDAS.splitlines()]
    content = as_json(rows) if suffix == "jsonl" else as_csv(rows)
    table = datasets.read_texts(write(content, f"mine.{suffix}"))
    assert table.label_names == ("none", "x", "y")  # "none" is a word like others
    first = 2 - (suffix == "jsonl")
    assert table.account.skipped == {
        "missing label, written 'nan'": Skipped(2, (first + 1, first + 6)),
        "missing label, written 'None'": Skipped(1, (first + 3,)),
        "missing label, written 'NA'": Skipped(1, (first + 4,)),
        "missing label": Skipped(1, (first + 5,)),
    }
    assert "pass `keep_na_labels=True`" in table.account.notes[-1]


def test_labels_that_mean_a_missing_value_can_be_kept(write):
    path = write("text,label\n" + PANDAS, "mine.csv")
    table = datasets.read_texts(path, keep_na_labels=True)
    assert table.label_names == ("NA", "None", "nan", "none", "x", "y")
    assert set(table.account.skipped) == {"missing label"}
    assert not any("keep_na_labels" in note for note in table.account.notes)
    named = datasets.read_texts(path, label_names=("x", "None"))
    assert named.account.examples == {"x": 2, "None": 1}
    several = datasets.read_texts(path, label_separator="|")
    assert several.label_names == ("none", "x", "y")


def test_every_missing_value_of_pandas_is_known():
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES - {""} == MISSING_VALUES
