"""Your own pairs: what is read, what is refused, what is reported, and how they are cut."""

import json

import pytest

from keras_attn import datasets
from keras_attn.datasets.files._account import Skipped
from keras_attn.datasets.pairs import sentence_key

PAIRS = [("Run!", "Cours !"), ("Run!", "Courez !"), ("Hi, Tom.", "Salut, Tom.")]


def as_tsv(pairs, header="source\ttarget"):
    return "\n".join([header, *("\t".join(pair) for pair in pairs)]) + "\n"


def as_json(pairs):
    return "".join(json.dumps({"source": en, "target": fr}) + "\n" for en, fr in pairs)


def many(count):
    return [(f"Number {number}.", f"Numéro {number}.") for number in range(count)]


def table_of(pairs, name="mine"):
    account = datasets.Account(f"{name}.tsv", len(pairs), len(pairs), {})
    return datasets.PairTable(name, *zip(*pairs, strict=True), account)


def reasons(table):
    """The account with each reason cut to its first two words."""
    account = table.account
    assert account.kept == len(table)
    assert account.kept + sum(part.count for part in account.skipped.values()) == account.rows
    return {" ".join(reason.split()[:2]): part for reason, part in account.skipped.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.tsv", as_tsv(PAIRS)),
        ("MINE.TSV", as_tsv(PAIRS).replace("\n", "\r\n")),
        ("mine.tsv", b"\xef\xbb\xbf" + as_tsv(PAIRS).encode()),
        ("mine.csv", 'source,target\nRun!,Cours !\nRun!,Courez !\n"Hi, Tom.","Salut, Tom."\n'),
        ("mine.jsonl", as_json(PAIRS)),
        ("mine.json", "\n" + as_json(PAIRS) + "\n"),
    ],
)
def test_every_format_gives_the_same_pairs(write, name, content):
    table = datasets.read_pairs(write(content, name))
    assert table.pairs == PAIRS
    assert table.name.lower() == "mine"
    assert (table.account.rows, table.account.kept, table.account.skipped) == (3, 3, {})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_parallel_files_give_the_same_pairs(write, end, last):
    files = []
    for side, name in enumerate(("mine.en", "mine.fr")):
        content = "".join(pair[side] + end for pair in PAIRS)
        files.append(write(content if last else content.removesuffix(end), name))
    table = datasets.read_pairs(*files)
    assert table.pairs == PAIRS
    assert table.name == "mine"
    assert table.account.path == f"{files[0]} and {files[1]}"


def test_columns_and_delimiter_are_chosen(write):
    path = write("id;fr;en\n1;Cours !;Run!\n", "mine.csv")
    table = datasets.read_pairs(path, source_column="en", target_column="fr", delimiter=";")
    assert table.pairs == PAIRS[:1]


def test_every_row_that_is_left_out_of_a_table_is_accounted_for(write):
    rows = [*many(200), ("", "Vide."), ("Empty.", " "), ("One", "two", "three"), many(1)[0]]
    content = as_tsv(rows).encode() + b"Bad\tna\xefve\n"
    table = datasets.read_pairs(write(content))
    assert reasons(table) == {
        "empty source": Skipped(1, (202,)),
        "empty target": Skipped(1, (203,)),
        "ragged (another": Skipped(1, (204,)),
        "exact duplicate": Skipped(1, (205,)),
        "undecodable bytes,": Skipped(1, (206,)),
    }
    assert "205 rows read, 200 kept, 5 skipped." in str(table.account)
    assert "1 empty target (line 203)" in str(table.account)
    assert "Examples" not in str(table.account)


def test_every_line_that_is_left_out_of_parallel_files_is_accounted_for(write):
    pairs = [*many(400), ("", "Vide."), ("Empty.", ""), ("", ""), many(1)[0], ("N\0L", "NUL")]
    source = write("".join(f"{en}\n" for en, _ in [*pairs, ("Last.", "")]), "mine.en")
    french = "".join(f"{fr}\n" for _, fr in pairs).encode() + b"Derni\xe8re.\n"
    table = datasets.read_pairs(source, write(french, "mine.fr"))
    assert reasons(table) == {
        "empty source": Skipped(2, (401, 403)),
        "empty target": Skipped(1, (402,)),
        "exact duplicate": Skipped(1, (404,)),
        "undecodable bytes,": Skipped(2, (405, 406)),
    }
    assert table.pairs == many(400)


def test_a_line_separator_within_a_sentence_ends_no_line(write):
    table = datasets.read_pairs(
        write("a\u2028b\nc\x85d\n", "mine.en"), write("1\n2\x0c3\n", "mine.fr")
    )
    assert table.pairs == [("a\u2028b", "1"), ("c\x85d", "2\x0c3")]


def test_parallel_files_of_unequal_length_are_refused(write):
    one, other = write("a\nb\nc\n", "mine.en"), write("1\n2\n", "mine.fr")
    with pytest.raises(ValueError, match=r"3 lines in .*mine\.en, 2 lines in .*mine\.fr"):
        datasets.read_pairs(one, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"mine\.fr is empty"),
        (b"\n \n", r"mine\.fr is empty"),
        ("été\nnaïf\n".encode("latin-1"), "2 of the 2 rows.*not utf-8.*lines 1, 2.*=.cp1252.`"),
        ("été\nnaïf\n".encode("utf-16-le"), "encoding='utf-16-le'"),
        (b"\0\n\0\n", "2 of the 2 rows.*NUL"),
    ],
)
def test_files_that_are_no_sentences_are_refused(write, content, message):
    one = write("a\nb\n", "mine.en")
    with pytest.raises(ValueError, match=message):
        datasets.read_pairs(one, write(content, "mine.fr"))


def test_parallel_files_in_another_encoding_are_read(write):
    files = (write("é\nb\n".encode("cp1252"), "m.en"), write("ï\n1\n".encode("cp1252"), "m.fr"))
    assert datasets.read_pairs(*files, encoding="cp1252").pairs == [("é", "ï"), ("b", "1")]


def test_files_that_there_are_not_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.tsv"):
        datasets.read_pairs(tmp_path / "absent.tsv")
    with pytest.raises(FileNotFoundError, match=r"absent\.fr"):
        datasets.read_pairs(write("a\n", "mine.en"), tmp_path / "absent.fr")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", {}, "is empty"),
        ("source\ttarget\n", {}, "a header and no rows"),
        ("source\ttarget\n\tVide.\n", {}, "(?s)no row that can be used.*1 empty source"),
        ("source,target\na,b\n", {}, "delimiter were ','.*`source_column` and `target_column`"),
        (as_tsv(PAIRS), {"target_column": "source"}, "`source_column` and `target_column` must"),
        (as_tsv(PAIRS), {"source_column": "en"}, "Unknown column of mine.tsv: received 'en'"),
    ],
)
def test_tables_that_are_none_are_refused(write, content, arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.read_pairs(write(content), **arguments)


@pytest.mark.parametrize("arguments", [{"delimiter": ";"}, {"target_column": "fr"}])
def test_plain_files_have_no_columns(write, arguments):
    with pytest.raises(ValueError, match=f"only for tables.*{next(iter(arguments.values()))!r}"):
        datasets.read_pairs(write("a\n", "m.en"), write("b\n", "m.fr"), **arguments)


def test_a_file_is_not_its_own_translation(write):
    with pytest.raises(ValueError, match=r"another file.*mine\.en"):
        datasets.read_pairs(write("a\n", "mine.en"), write("a\n", "mine.en"))


def test_what_is_no_table_of_pairs_is_refused():
    account = datasets.Account("", 2, 2, {})
    with pytest.raises(ValueError, match="2 sources, 1 target"):
        datasets.PairTable("mine", ("a", "b"), ("c",), account)
    with pytest.raises(ValueError, match="must differ"):
        datasets.PairTable("mine", ("a", "a"), ("b", "b"), account)


def test_no_source_is_in_two_splits_and_every_pair_is_in_one():
    spellings = ("{}", "{}!", "« {} »", "{}...")
    pairs = [
        (spelling.format(source.rstrip(".")), f"{target} {number}")
        for source, target in many(50)
        for number, spelling in enumerate(spellings)
    ]
    dataset = datasets.split_pairs(table_of(pairs), validation=0.2, test=0.1)
    sources = {name: {sentence_key(s) for s in dataset[name].sources} for name in dataset}
    assert {name: len(part) for name, part in sources.items()} == {
        "train": 35,
        "validation": 10,
        "test": 5,
    }
    assert len(set.union(*sources.values())) == 50
    assert sum(len(split) for split in dataset.values()) == len(pairs)


def test_held_out_rows_have_all_their_translations():
    pairs = [(source, f"{target}{end}") for source, target in many(40) for end in ("", " !")]
    dataset = datasets.split_pairs(table_of(pairs, "twice"))
    assert (dataset.name, dataset.label_names) == ("twice", ())
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 64,
        "validation": 4,
        "test": 4,
    }
    assert dataset["train"].references is None
    translations = dict(many(40))
    for name in ("validation", "test"):
        for source, known in zip(dataset[name].sources, dataset[name].references, strict=True):
            assert known == (translations[source], f"{translations[source]} !")


def test_the_cut_depends_on_the_sources_and_the_seed_alone():
    def test_sources(pairs, **arguments):
        return set(datasets.split_pairs(table_of(pairs), **arguments)["test"].sources)

    first = test_sources(many(60))
    assert test_sources(many(60)[::-1]) == first
    assert test_sources([(source, "x") for source, _ in many(60)]) == first
    assert test_sources(many(60), seed=1) != first
    assert len(first) == 6


@pytest.mark.parametrize("fractions", [(0, 0.1), (0.1, -1), (0.5, 0.5), (float("nan"), 0.1)])
def test_fractions_that_leave_a_split_empty_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions above 0"):
        datasets.split_pairs(table_of(many(20)), validation=fractions[0], test=fractions[1])


def test_too_few_sources_are_refused_however_many_pairs():
    pairs = [(source, str(number)) for source, _ in many(9) for number in range(5)]
    with pytest.raises(ValueError, match=r"10 different sources.*9 in 45 pairs\. Add 1 more"):
        datasets.split_pairs(table_of(pairs))
    assert len(datasets.split_pairs(table_of(many(10)), validation=0.5, test=0.49)["train"]) == 1
