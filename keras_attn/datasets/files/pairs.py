"""Your own pairs of sentences and translations: a table or two parallel files, and splits."""

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
from keras_attn.datasets.files.texts import DUPLICATE, FEWEST_EXAMPLES, check_fractions, held_out
from keras_attn.datasets.pairs import PairSplit, plain_pairs, referenced_pairs, same_sentence
from keras_attn.datasets.splits import Dataset

EMPTY_SOURCE = "empty source"
EMPTY_TARGET = "empty target"
_REASONS = {EMPTY: EMPTY_SOURCE, NO_LABEL: EMPTY_TARGET}

_COLUMNS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class PairTable:
    """Distinct pairs of a sentence and its translation; a sentence may have several.

    Attributes:
        name: name of the data set that `split_pairs` makes of it.
        sources: the sentences.
        targets: the translation of each.
        account: what was read and what was left out.

    Raises:
        ValueError: the lengths differ, or a pair occurs twice.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    account: Account

    def __post_init__(self) -> None:
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
        """Each source with its target."""
        return list(zip(self.sources, self.targets, strict=True))


def read_pairs(
    path: str | os.PathLike[str],
    second: str | os.PathLike[str] | None = None,
    *,
    source_column: str = _COLUMNS[0],
    target_column: str = _COLUMNS[1],
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> PairTable:
    r"""Read sentences and their translations, and account for every row.

    White space around sentences is dropped. Rows are skipped, counted and reported with
    their lines when a sentence is empty, their number of fields wrong, their bytes not of
    the encoding (rows with a NUL character are counted with those), or when they repeat an
    earlier row. A sentence with several translations is kept with all of them.

    Args:
        path: a `.tsv` or `.csv` file with a header, or `.jsonl`, `.ndjson` or `.json` with one
            JSON object a line; or, with `second`, a plain file with a sentence a line.
        second: plain file of the translations, line by line.
        source_column: name of the column, or JSON key, of the sentences to translate.
        target_column: that of the translations.
        delimiter: what stands between fields; None is a comma in `.csv`, a tab in `.tsv`.
        encoding: of the files; a byte order mark is accepted.

    Returns:
        The pairs that were kept, and the account.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, no such column, a quote that is never closed, an empty
            file, no row that can be used, two files of different numbers of lines, columns
            or a delimiter given for plain files, or more than 1 % of the rows undecodable.

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
    kept, skipped = _sift(rows)
    account = Account(where, len(rows), len(kept), skipped)
    if not kept:
        raise ValueError(f"{where} has no row that can be used.\n{account}")
    sources, targets = (tuple(side) for side in zip(*kept, strict=True))
    return PairTable(path.stem, sources, targets, account)


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


def _sift(rows: Sequence[Row]) -> tuple[list[tuple[str, str]], dict[str, Skipped]]:
    """The pairs to keep, and the other rows by reason."""
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
    """Cut a table into training, validation and test splits, none with a source of another.

    Sources that differ only in how they are written go together
    (see `keras_attn.datasets.pairs.same_sentence`). The cut depends on the table's sources, the
    fractions and `seed` alone, and not on the order of the rows.

    Args:
        table: see `read_pairs`.
        validation: fraction of the distinct sources to choose by.
        test: fraction of the distinct sources to measure by, in the end.
        seed: integer that makes the cut.

    Returns:
        A data set of the table's name: `"train"` with every pair, in the table's order, and
        `"validation"` and `"test"` with a row for each source and all its translations as
        `references`.

    Raises:
        ValueError: fractions that leave a split empty, or too few distinct sources.

    Example:

    >>> sources = tuple(f"Number {number}" for number in range(20))
    >>> targets = tuple(f"Numéro {number}" for number in range(20))
    >>> table = PairTable("mine", sources, targets, Account("mine.tsv", 20, 20, {}))
    >>> {name: len(split) for name, split in split_pairs(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    check_fractions(validation, test)
    distinct = {same_sentence(source) for source in table.sources}
    if len(distinct) < FEWEST_EXAMPLES:
        raise ValueError(
            f"Three splits need {FEWEST_EXAMPLES} different sources at least. Received: "
            f"{len(distinct)} in {len(table)} pairs. Add {FEWEST_EXAMPLES - len(distinct)} more."
        )
    ordered = sorted(
        distinct, key=lambda source: hashlib.sha256(f"{seed} {source}".encode()).digest()
    )
    chosen, measured = held_out(len(ordered), validation, test)
    part_of = dict.fromkeys(ordered, "train")
    part_of |= dict.fromkeys(ordered[:chosen], "validation")
    part_of |= dict.fromkeys(ordered[chosen : chosen + measured], "test")
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "test": []}
    for pair in table.pairs:
        parts[part_of[same_sentence(pair[0])]].append(pair)
    splits = {
        "train": plain_pairs(parts["train"]),
        "validation": referenced_pairs(parts["validation"]),
        "test": referenced_pairs(parts["test"]),
    }
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset(table.name, (), readers)
