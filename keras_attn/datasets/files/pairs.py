"""Reading and splitting of your own sentence pairs, from a table or two parallel files."""

import dataclasses
import hashlib
import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence

from keras_attn.datasets.files._account import Account, Skipped, tally
from keras_attn.datasets.files._rows import (
    EMPTY,
    NO_LABEL,
    Columns,
    Row,
    check_decodable,
    parallel_rows,
    read_rows,
)
from keras_attn.datasets.files._splitting import MIN_EXAMPLES, check_fractions, held_out_sizes
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
                f"{len(self.sources)} sources, {len(self.targets)} targets."
            )
        if len(set(self.pairs)) < len(self):
            raise ValueError(
                "A table's pairs must differ. Received some twice; `read_pairs` keeps each once."
            )

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of source and target."""
        return list(zip(self.sources, self.targets, strict=True))


def read_pairs(
    path: str | os.PathLike[str],
    second: str | os.PathLike[str] | None = None,
    *,
    source_column: str = _COLUMNS[0],
    target_column: str = _COLUMNS[1],
    delimiter: str | None = None,
    encoding: str = "utf-8",
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
        path: A `.tsv` or `.csv` file with a header; a `.jsonl`, `.ndjson` or `.json` file with
            one JSON object per line; or, with `second`, a plain file with a sentence per line.
        second: Plain file with the translation of each line of `path`.
        source_column: Name of the column, or JSON key, of the sentences to translate.
        target_column: Name of the column, or JSON key, of the translations.
        delimiter: Field separator; None means a comma in `.csv` and a tab in `.tsv`.
        encoding: Encoding of the files; a byte order mark is accepted.
        target_language: Code of the language of the translations, such as `"zh"`, which selects
            the tokenizer of BLEU. None takes that which the script of the translations shows, see
            `keras_attn.datasets.languages.guess_language`.

    Returns:
        The pairs that were kept, with the account of all rows.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The suffix or a column is unknown, a quote is never closed, a file is
            empty, no row can be used, two files differ in their number of lines, plain files
            come with columns or a delimiter, or more than 1 % of the rows cannot be decoded.

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
    if second is None:
        columns = Columns(source_column, target_column, ("source_column", "target_column"))
        rows = read_rows(path, columns, delimiter, encoding)
        where = str(path)
    else:
        second = pathlib.Path(second)
        _check_plain(path, second, (source_column, target_column), delimiter)
        rows = parallel_rows(path, second, encoding)
        where = f"{path} and {second}"
    if not rows:
        raise ValueError(f"{where} has a header and no rows. A row for each pair must follow it.")
    check_decodable(where, rows, encoding)
    kept, skipped = _select_pairs(rows)
    account = Account(where, len(rows), len(kept), skipped)
    if not kept:
        raise ValueError(f"{where} has no row that can be used.\n{account}")
    sources, targets = (tuple(side) for side in zip(*kept, strict=True))
    language = target_language or guess_language(targets)
    return PairTable(path.stem, sources, targets, account, language)


def _check_plain(
    path: pathlib.Path, second: pathlib.Path, columns: tuple[str, str], delimiter: str | None
) -> None:
    if columns != _COLUMNS or delimiter is not None:
        raise ValueError(
            "`source_column`, `target_column` and `delimiter` are of tables, and with `second` "
            f"both files are plain, a sentence a line. Received: {columns} and {delimiter!r}. "
            "Leave them out, or give one table."
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
    table: PairTable, *, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Dataset[PairSplit]:
    """Cut a table into training, validation and test splits with disjoint sources.

    Sources that differ only in spelling conventions are in the same split (see
    `keras_attn.datasets.pairs.sentence_key`). The cut depends only on the set of sources, the
    fractions and `seed`, not on the order of the rows.

    Args:
        table: The table, see `read_pairs`.
        validation: Fraction of the distinct sources in the validation split.
        test: Fraction of the distinct sources in the test split.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table. Its split `"train"` has a row for each pair, in
        the order of the table; `"validation"` and `"test"` have a row for each source, with
        all its translations as `references`.

    Raises:
        ValueError: The fractions leave a split empty, or there are too few distinct sources.

    Example:

    >>> sources = tuple(f"Number {number}" for number in range(20))
    >>> targets = tuple(f"Numéro {number}" for number in range(20))
    >>> table = PairTable("mine", sources, targets, Account("mine.tsv", 20, 20, {}))
    >>> {name: len(split) for name, split in split_pairs(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    check_fractions(validation, test)
    distinct = {sentence_key(source) for source in table.sources}
    if len(distinct) < MIN_EXAMPLES:
        raise ValueError(
            f"Three splits need {MIN_EXAMPLES} different sources at least. Received: "
            f"{len(distinct)} in {len(table)} pairs. Add {MIN_EXAMPLES - len(distinct)} more."
        )
    ordered = sorted(
        distinct, key=lambda source: hashlib.sha256(f"{seed} {source}".encode()).digest()
    )
    validation_size, test_size = held_out_sizes(len(ordered), validation, test)
    split_of = dict.fromkeys(ordered, "train")
    split_of |= dict.fromkeys(ordered[:validation_size], "validation")
    split_of |= dict.fromkeys(ordered[validation_size : validation_size + test_size], "test")
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "test": []}
    for pair in table.pairs:
        parts[split_of[sentence_key(pair[0])]].append(pair)
    splits = {
        "train": make_pair_split(parts["train"], table.target_language),
        "validation": make_reference_split(parts["validation"], table.target_language),
        "test": make_reference_split(parts["test"], table.target_language),
    }
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset(table.name, (), readers, table.target_language)
