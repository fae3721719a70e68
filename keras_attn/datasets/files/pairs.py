"""Reading and splitting of your own sentence pairs, from a table or two parallel files."""

import dataclasses
import hashlib
import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence

from keras_attn._wording import counted
from keras_attn.datasets.files._account import Account, Skipped, tally
from keras_attn.datasets.files._rows import EMPTY, NO_LABEL, Columns, Format, Row
from keras_attn.datasets.files._splitting import (
    MIN_EXAMPLES,
    combine_splits,
    held_out_fractions,
    held_out_sizes,
)
from keras_attn.datasets.files._tables import parallel_rows, read_rows
from keras_attn.datasets.files.texts import DUPLICATE
from keras_attn.datasets.languages import check_language, guess_language
from keras_attn.datasets.pairs import (
    PairSplit,
    make_pair_split,
    make_reference_split,
    sentence_key,
)
from keras_attn.datasets.splits import Dataset

EMPTY_SOURCE = "empty source"
EMPTY_TARGET = "empty target"
_REASONS = {EMPTY: EMPTY_SOURCE, NO_LABEL: EMPTY_TARGET}

_COLUMNS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class PairTable:
    """Distinct pairs of a sentence and its translation. A sentence may have several.

    Attributes:
        name: Name of the data set that `split_pairs` returns.
        sources: The sentences.
        targets: The translation of each sentence.
        account: The rows that were kept and skipped.
        target_language: Code of the language of the targets, such as `"zh"`, or None if it is
            not known.

    Raises:
        ValueError: The lengths differ, a pair occurs twice, or `target_language` is not a code.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    account: Account
    target_language: str | None = None

    def __post_init__(self) -> None:
        check_language("target_language", self.target_language)
        if len(self.sources) != len(self.targets):
            raise ValueError(
                "A table needs one target a source. Received: "
                f"{counted(len(self.sources), 'source')}, {counted(len(self.targets), 'target')}."
            )
        if len(set(self.pairs)) < len(self):
            raise ValueError(
                "A table's pairs must differ. Received some twice; `read_pairs` keeps each once."
            )

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        language = f", target language {self.target_language!r}" if self.target_language else ""
        return f"PairTable({self.name!r}, {counted(len(self), 'pair')}{language})"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of source and target."""
        return list(zip(self.sources, self.targets, strict=True))


def read_pairs(
    path: str | os.PathLike[str],
    second: str | os.PathLike[str] | None = None,
    *,
    source_column: str | int = _COLUMNS[0],
    target_column: str | int = _COLUMNS[1],
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    target_language: str | None = None,
) -> PairTable:
    r"""Read sentences and their translations, and report every row that is skipped.

    White space around sentences is removed. A sentence with several translations is kept with
    all of them. A row is skipped, and its line is reported, if

    - one of its sentences is empty;
    - it has the wrong number of fields;
    - its bytes are not in the encoding, or contain NUL;
    - it repeats an earlier row.

    Args:
        path: A `.tsv`, `.txt` or `.csv` file; a `.jsonl`, `.ndjson` or `.json` file with one JSON
            object per line; or, with `second`, a plain file with a sentence per line.
        second: Plain file with the translation of each line of `path`.
        source_column: Column of the sentences to translate: its name, or JSON key; or its number,
            counted from 1 as `cut` and `awk` do.
        target_column: Column of the translations, likewise.
        delimiter: Field separator; None means a comma in `.csv`, and a tab in `.tsv` and `.txt`.
        quoting: Whether fields may be in quotes, and then hold delimiters and line breaks, as CSV
            has it. None means yes, but in files with tabs only if all their texts are quoted:
            most corpora with tabs hold quotes as they are. The account says what was assumed.
        header: Whether the first row holds the names of the columns. None means yes, unless both
            columns are given by number. If False, the columns are 1 and 2 unless they are given.
        encoding: Encoding of the files. None means UTF-8, or what their byte order marks say.
        target_language: Code of the language of the translations, such as `"zh"`, which selects
            the tokenizer of BLEU. None takes that which the script of the translations shows, see
            `keras_attn.datasets.languages.guess_language`.

    Returns:
        The pairs that were kept, with the account of all rows.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The suffix or a column is unknown, a quote is never closed, a file is
            empty, no row can be used, two files differ in their number of lines, plain files
            come with options for tables, or more than 1 % of the rows cannot be decoded.

    Example:

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "mine.en").write_text("Run!\nRun!\n\nHi.\n")
    >>> _ = (folder / "mine.fr").write_text("Cours !\nCourez !\nVa !\nSalut.\n")
    >>> table = read_pairs(folder / "mine.en", folder / "mine.fr")
    >>> table.pairs
    [('Run!', 'Cours !'), ('Run!', 'Courez !'), ('Hi.', 'Salut.')]
    >>> table.account.skipped
    {'empty source': Skipped(count=1, lines=(3,))}
    """
    check_language("target_language", target_language)
    path = pathlib.Path(path)
    columns = Columns(source_column, target_column, ("source_column", "target_column"))
    options = Format(delimiter, quoting, header, encoding)
    if second is None:
        if header is False and columns[:2] == _COLUMNS:
            columns = columns._replace(text=1, label=2)
        rows, notes = read_rows(path, columns, options)
        where = str(path)
    else:
        second = pathlib.Path(second)
        _check_plain(path, second, columns, options)
        rows, notes = parallel_rows(path, second, encoding)
        where = f"{path} and {second}"
    kept, skipped = _select_pairs(rows)
    account = Account(where, len(rows), len(kept), skipped, notes=notes)
    if not kept:
        raise ValueError(f"{where} has no row that can be used.\n{account}")
    sources, targets = (tuple(side) for side in zip(*kept, strict=True))
    language = target_language or guess_language(targets)
    return PairTable(path.stem, sources, targets, account, language)


def _check_plain(
    path: pathlib.Path, second: pathlib.Path, columns: Columns, options: Format
) -> None:
    given = dict(zip(columns.arguments, columns[:2], strict=True)) | dataclasses.asdict(options)
    defaults = dict(zip(columns.arguments, _COLUMNS, strict=True)) | dataclasses.asdict(
        Format(encoding=options.encoding)
    )
    if others := {name: value for name, value in given.items() if value != defaults[name]}:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in others)}: only for tables; with `second`, both "
            f"files have one sentence per line. Received: "
            f"{', '.join(map(repr, others.values()))}. Leave them out, or give one table."
        )
    if path == second:
        raise ValueError(
            f"`second` must be another file, of the translations. Received: {str(path)!r} twice."
        )


def _select_pairs(rows: Sequence[Row]) -> tuple[list[tuple[str, str]], dict[str, Skipped]]:
    """Return the pairs to keep, and the other rows by reason."""
    lines = defaultdict(list)
    kept: dict[tuple[str, str], None] = {}
    for row in rows:
        if row.problem:
            lines[_REASONS.get(row.problem, row.problem)].append(row.line)
        elif (row.text, row.label) in kept:
            lines[DUPLICATE].append(row.line)
        else:
            kept[row.text, row.label] = None
    return list(kept), tally(lines)


def split_pairs(
    table: PairTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: PairTable | None = None,
    test_data: PairTable | None = None,
    seed: int = 0,
) -> Dataset[PairSplit]:
    """Return a table as a data set of training, validation and test splits.

    What is not given as a table of its own is cut from `table`, with disjoint sources. Sources
    that differ only in spelling conventions are in the same split (see
    `keras_attn.datasets.pairs.sentence_key`). The cut depends only on the set of sources, the
    fractions and `seed`, not on the order of the rows.

    Args:
        table: The table, see `read_pairs`.
        validation: Fraction of the distinct sources in the validation split. [default: 0.1]
        test: Fraction of the distinct sources in the test split; 0 for no test split.
            [default: 0.1]
        validation_data: The validation split, such as a published one, in place of a fraction.
        test_data: The test split, likewise.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table. Its split `"train"` has a row for each pair, in
        the order of the table; `"validation"` and `"test"` have a row for each source, with
        all its translations as `references`. If sources of `test_data` also occur in the other
        splits, a warning says how many, and a split `"test_unseen"` holds the others.

    Raises:
        ValueError: The fractions leave a split empty, a fraction is given beside data for the same
            split, or there are too few distinct sources.

    Example:

    >>> sources = tuple(f"Number {number}" for number in range(20))
    >>> targets = tuple(f"Numéro {number}" for number in range(20))
    >>> table = PairTable("mine", sources, targets, Account("mine.tsv", 20, 20, {}))
    >>> {name: len(split) for name, split in split_pairs(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    given = {"validation": validation_data, "test": test_data}
    fractions = held_out_fractions(
        validation, test, validation_data is not None, test_data is not None
    )
    parts = _cut_pairs(table, *fractions, seed)
    splits = {
        name: (make_pair_split if name == "train" else make_reference_split)(
            pairs, table.target_language
        )
        for name, pairs in parts.items()
    }
    for name, other in given.items():
        if other is not None:
            splits[name] = make_reference_split(other.pairs, table.target_language)
    return combine_splits(
        table.name,
        (),
        splits,
        lambda split: [sentence_key(source) for source in split.sources],
        [name for name, other in given.items() if other is not None],
        "sources",
        table.target_language,
    )


def _cut_pairs(
    table: PairTable, validation: float, test: float, seed: int
) -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of each split that is cut from the table."""
    distinct = {sentence_key(source) for source in table.sources}
    fractions = {"train": 1.0, "validation": validation, "test": test}
    parts: dict[str, list[tuple[str, str]]] = {
        name: [] for name, fraction in fractions.items() if fraction > 0
    }
    if len(parts) > 1 and len(distinct) < MIN_EXAMPLES:
        raise ValueError(
            f"{len(parts)} splits need {MIN_EXAMPLES} different sources at least. Received: "
            f"{len(distinct)} in {counted(len(table), 'pair')}. Add {MIN_EXAMPLES - len(distinct)} "
            "more."
        )
    ordered = sorted(
        distinct, key=lambda source: hashlib.sha256(f"{seed} {source}".encode()).digest()
    )
    validation_size, test_size = held_out_sizes(len(ordered), validation, test)
    split_of = dict.fromkeys(ordered, "train")
    split_of |= dict.fromkeys(ordered[:validation_size], "validation")
    split_of |= dict.fromkeys(ordered[validation_size : validation_size + test_size], "test")
    for pair in table.pairs:
        parts[split_of[sentence_key(pair[0])]].append(pair)
    return parts
