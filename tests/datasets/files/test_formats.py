"""Quoting, headers, columns by number, line ends: what is assumed is right, or is said."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attn import datasets
from keras_attn.datasets.files._delimited import is_quoted_throughout

QUOTES = [
    ('"Never again.', "bad"),
    ("Lovely tea.", "good"),
    ('He said "no".', "bad"),
    ('Cold soup."', "bad"),
    ('"A fine day."', "good"),
    ('5" of rain, "they" say', "bad"),
]


def as_lines(rows, end="\n", delimiter="\t"):
    return "".join(delimiter.join(row) + end for row in rows)


def as_csv(rows, quoting, delimiter="\t"):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)
    return file.getvalue()


def pairs(table):
    return list(zip(table.texts, table.labels, strict=True))


def notes(table):
    return " ".join(table.account.notes)


@pytest.mark.parametrize("rows", [QUOTES, QUOTES[1:], QUOTES[:1] + QUOTES[1:2] * 1])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["mine.tsv", "mine.txt", "MINE.TSV"])
def test_quotes_in_files_with_tabs_are_characters_like_others(write, name, end, rows):
    path = write(as_lines([("text", "label"), *rows], end), name)
    table = datasets.read_texts(path)
    assert pairs(table) == rows
    assert (table.account.rows, table.account.kept) == (len(rows), len(rows))
    assert "separated by tabs, without quoting, with a header" in str(table.account)


def test_quotes_do_not_swallow_rows(write):
    rows = [(f'{"" if number % 4 else chr(34)}Number {number}', "ab"[number % 2], "x")
            for number in range(20)]  # fmt: skip
    table = datasets.read_texts(write(as_lines([("text", "label", "by"), *rows])))
    assert (table.account.rows, table.account.kept) == (20, 20)
    assert not any("\n" in text for text in table.texts)


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_file_quoted_throughout_is_read_as_quoted(write, quoting):
    rows = [("a\tb", 1), ('He said "no".', 0), ("two\nlines", 1), ("", 0), ("plain", 1)]
    table = datasets.read_texts(write(as_csv([("text", "label"), *rows], quoting)))
    assert pairs(table) == [(text, str(label)) for text, label in rows if text]
    assert "separated by tabs, with quoting" in notes(table)
    assert "1 quoted row spans several lines (line 4). " in notes(table)


def test_a_file_that_quotes_a_part_of_its_fields_says_so_and_is_read_on_request(write):
    rows = [("a\tb", "x"), ('He said "no".', "y"), ("two\nlines", "x"), ("plain", "y")]
    path = write(as_csv([("text", "label"), *rows], csv.QUOTE_MINIMAL))
    table = datasets.read_texts(path)
    assert ('"He said ""no""."', "y") in pairs(table)
    assert "rows look quoted as in CSV (lines 2, 3, 4). If a program" in notes(table)
    assert "`quoting=True`" in notes(table)
    assert pairs(datasets.read_texts(path, quoting=True)) == rows


def test_csv_is_quoted_by_default(write):
    rows = [('"one', "a"), ("two", "b"), ("three", "a"), ('four"', "b")]
    path = write(as_lines([("text", "label"), *rows], delimiter=","), "mine.csv")
    with pytest.raises(ValueError, match=r"starts on line 2 is not well quoted.*quoting=False"):
        datasets.read_texts(write("text,label\n" + '"one,a\ntwo,b\n', "odd.csv"))
    table = datasets.read_texts(path, quoting=False)
    assert pairs(table) == rows
    path = write(as_csv([("text", "label"), *rows], csv.QUOTE_ALL, ","), "mine.csv")
    assert pairs(datasets.read_texts(path)) == rows


def test_an_even_number_of_quotes_in_csv_is_noted(write):
    path = write('text,label\n"one,a\ntwo,b\nthree,a\nfour",b\nfive,a\n', "mine.csv")
    table = datasets.read_texts(path)
    assert table.account.rows == 2
    assert "spans several lines (line 2). If each line is a row of its own" in notes(table)


def test_a_field_of_more_than_16_million_characters_names_the_quote(write):
    path = write('text,label\n"' + "x" * (16 * 2**20 + 1) + ",a\n", "mine.csv")
    with pytest.raises(
        ValueError, match=r"line 2 has a field of more than 16,777,216.*quoting=False"
    ):
        datasets.read_texts(path)


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        ('"a"\t"b"\n', True),
        ('"a"\t"b"', True),
        ('"a"\t1\r\n"b"\t2.5\r\n', True),
        ('"a"\tNA\n"b"\tTRUE\n\n', True),
        ('"a ""b"""\t"c\nd"\n', True),
        ('a\t"b"\n', False),
        ('"a"\t"b"\n"c"\n', False),  # rows of different widths
        ('"a" b\t"c"\n', False),
        ('"a\t1\n', False),
        ("1\t2\n", False),
        ("", False),
    ],
)
def test_quoted_throughout(content, quoted):
    assert is_quoted_throughout(content) == quoted


# Columns and headers.

TATOEBA = (
    "Hi.\t嗨。\tCC-BY 2.0 (France) #538123\nRun.\t你用跑的。\tCC-BY 2.0\n"
    'He said "no".\t他说“不”。\tCC\n'
)


@pytest.mark.parametrize(
    "options", [{"source_column": 1, "target_column": 2}, {"header": False},
                {"source_column": "1", "target_column": "2"}],
)  # fmt: skip
def test_tatoeba_is_read_as_published(write, options):
    table = datasets.read_pairs(write(TATOEBA, "cmn.txt"), **options)
    assert table.pairs == [("Hi.", "嗨。"), ("Run.", "你用跑的。"), ('He said "no".', "他说“不”。")]
    assert "without a header: source in column 1 (in line 1 'Hi.'), target in column 2" in str(
        table.account
    )


def test_a_table_of_texts_without_a_header_is_read_by_number(write):
    path = write("1\t很好\n0\t不好\n1\t好\n")
    table = datasets.read_texts(path, text_column=2, label_column=1)
    assert pairs(table) == [("很好", "1"), ("不好", "0"), ("好", "1")]
    path = write('good,"a, b"\nbad,c\ngood,d\n', "mine.csv")
    assert pairs(datasets.read_texts(path, text_column=2, label_column=1))[0] == ("a, b", "good")


def test_numbers_also_select_columns_of_a_table_with_a_header(write):
    path = write("label\ttext\tlabel\n1\tyes\t9\n0\tno\t9\n1\tso\t9\n")
    table = datasets.read_texts(path, text_column=2, label_column=1, header=True)
    assert table.texts == ("yes", "no", "so")
    assert datasets.read_texts(path, text_column="text", label_column=1).labels == ("1", "0", "1")
    headed = datasets.read_texts(path, text_column=2, label_column=1)
    assert headed.labels == ("label", "1", "0", "1")
    assert "Line 1 alone has the label 'label'. If it is a header, pass `header=True`" in notes(
        headed
    )


def test_columns_may_be_named_by_digits(write):
    path = write("0,1\nyes,a\nno,b\n", "mine.csv")
    table = datasets.read_texts(path, text_column="0", label_column="1")
    assert table.texts == ("yes", "no")
    assert "with a header: text in column 1 ('0')" in notes(table)


def test_without_a_header_most_rows_tell_the_number_of_fields(write):
    path = write("a\tb\tc\td\n1\tx\ty\n0\tz\ty\n1\tv\ty\n")
    table = datasets.read_texts(path, text_column=2, label_column=1)
    assert len(table) == 3
    assert "1 ragged (another number of fields than most rows) (line 1)" in str(table.account)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mine.tsv", {}, "(?s)received 'text'.*without a header by their numbers, from 1"),
        ("mine.tsv", {"text_column": 0, "label_column": 1}, "from 1 to 2.*counted from 1.*: 0"),
        ("mine.tsv", {"text_column": 3, "label_column": 1}, "from 1 to 2.*has 2 columns.*: 3"),
        ("mine.tsv", {"text_column": 2, "label_column": "2"}, "must be two columns"),
        (
            "mine.tsv",
            {"header": False},
            "`text_column` must be the number of a column.*'text'.*'1'",
        ),
        ("mine.tsv", {"text_column": True, "label_column": 1}, "name of a column, or its number"),
        ("mine.tsv", {"text_column": 2.0, "label_column": 1}, "name of a column, or its number"),
        ("mine.tsv", {"header": "no"}, "`header` must be True, False or None.*'no'"),
        ("mine.tsv", {"quoting": 3}, "`quoting` must be True, False or None.*3"),
        ("mine.jsonl", {"quoting": False}, r"`quoting`.*for \.csv, \.tsv and \.txt"),
        ("mine.jsonl", {"text_column": 1}, "must be a key"),
    ],
)
def test_invalid_columns_are_explained(write, name, options, message):
    path = write("1\tgood\n0\tbad\n", name)
    with pytest.raises(ValueError, match=message):
        datasets.read_texts(path, **options)


def test_a_long_first_row_is_cut_in_messages(write):
    with pytest.raises(ValueError, match="Unknown column") as error:
        datasets.read_texts(write("x" * 5_000 + "\ty\n"))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("option", ["quoting", "header"])
def test_plain_files_have_no_format(write, option):
    with pytest.raises(ValueError, match=f"`{option}`: only for tables"):
        datasets.read_pairs(write("a\n", "m.en"), write("b\n", "m.fr"), **{option: False})


def test_parallel_files_of_an_old_macintosh(write):
    table = datasets.read_pairs(write("a\rb\r", "m.en"), write("1\n2\n", "m.fr"))
    assert table.pairs == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_old_macintosh_line_ends(write, name):
    content = 'text,label\r"a, b",x\rc,y\r'
    if name == "mine.jsonl":
        content = '{"text": "a, b", "label": "x"}\r{"text": "c", "label": "y"}\r'
    assert pairs(datasets.read_texts(write(content, name))) == [("a, b", "x"), ("c", "y")]


# Labels.


def test_labels_are_one_class_in_every_format(write):
    values = [0.0, 1.0, 0, 1, True, False]
    csv_rows = as_csv([("text", "label"), *enumerate(values)], csv.QUOTE_MINIMAL, ",")
    json_rows = "".join(f'{{"text": "{n}", "label": {str(v).lower()}}}\n'
                        for n, v in enumerate(values))  # fmt: skip
    tables = [
        datasets.read_texts(write(csv_rows, "mine.csv")),
        datasets.read_texts(write(json_rows, "mine.jsonl")),
    ]
    assert tables[0].labels == tables[1].labels == ("0", "1", "0", "1", "true", "false")


@pytest.mark.parametrize("names", [("0", "1"), (0, 1), (0.0, 1.0), ["0.0", "1.0"]])
def test_label_names_match_in_any_spelling(write, names):
    path = write("text,label\na,0.0\nb,1.0\nc,2.0\n", "mine.csv")
    table = datasets.read_texts(path, label_names=names)
    assert table.texts == ("a", "b")
    assert set(table.labels) == set(table.label_names)
    assert all(isinstance(name, str) for name in table.label_names)


# Properties.

_line = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\t\r\n"), max_size=20
)
_field = st.text(
    st.sampled_from(list('"\t\n,;ab 1é好\u2028'))
    | st.characters(blacklist_categories=("Cs", "Cc")),
    max_size=12,
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(texts=st.lists(_line.filter(str.strip), min_size=1, max_size=12, unique_by=str.strip))
def test_a_file_without_quoting_is_what_splitting_at_tabs_gives(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "property.tsv"
    content = "".join(f"{number}\t{text}\n" for number, text in enumerate(texts))
    path.write_bytes(content.encode())
    table = datasets.read_pairs(path, source_column=1, target_column=2, quoting=False)
    assert table.targets == tuple(text.strip() for text in texts)
    if any(text[0] != '"' and text.strip().isalpha() for text in texts):  # not quoted throughout
        assert datasets.read_pairs(path, header=False).targets == table.targets


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    texts=st.lists(_field.filter(str.strip), min_size=1, max_size=12, unique_by=str.strip),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    delimiter=st.sampled_from("\t,;"),
)
def test_what_a_program_quotes_is_read_back(tmp_path_factory, texts, quoting, delimiter):
    path = tmp_path_factory.getbasetemp() / "property.csv"
    rows = [("source", "target"), *((f"n{number}", text) for number, text in enumerate(texts))]
    path.write_bytes(as_csv(rows, quoting, delimiter).encode())
    minimal = {"quoting": True} if quoting == csv.QUOTE_MINIMAL else {}
    table = datasets.read_pairs(path, delimiter=delimiter, **minimal)
    assert [text.replace("\r\n", "\n") for text in table.targets] == [t.strip() for t in texts]


def check_bytes(path, content):
    """That any bytes are read with an account that adds up, or refused by a ValueError."""
    path.write_bytes(content)
    numbers = {"text_column": 2, "label_column": 1}
    try:
        table = datasets.read_texts(path, **({} if path.suffix == ".jsonl" else numbers))
    except ValueError:
        return
    skipped = sum(part.count for part in table.account.skipped.values())
    assert table.account.kept + skipped == table.account.rows
    assert all(text.encode() and "\0" not in text for text in table.texts)


_pieces = st.sampled_from(
    [b'"', b'""', b"\t", b",", b"\n", b"\r", b"\0", b"a", b"1", b"1.0", b"\xe9", "好".encode(),
     b'{"text": ', b'"label": ', b"}", b"[", b"\xff\xfe", b"\xef\xbb\xbf", b" "]
)  # fmt: skip
_content = st.binary(max_size=200) | st.lists(_pieces, max_size=40).map(b"".join)
_names = st.sampled_from(["p.tsv", "p.csv", "p.txt", "p.jsonl"])


@settings(deadline=None, max_examples=80, derandomize=True)
@given(content=_content, name=_names)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, name):
    check_bytes(tmp_path_factory.getbasetemp() / name, content)


@pytest.mark.slow
@settings(deadline=None, max_examples=5_000, derandomize=True)
@given(content=_content, name=_names)
def test_thousands_of_files_are_read_or_refused(tmp_path_factory, content, name):
    check_bytes(tmp_path_factory.getbasetemp() / name, content)
