"""Your own texts: a table with a column of texts and one of labels, and its splits."""

import dataclasses
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from keras_attn.datasets.files._account import Skipped, TableAccount, tally
from keras_attn.datasets.files._rows import Columns, Row, check_decodable, read_rows
from keras_attn.datasets.pairs import same_sentence
from keras_attn.datasets.splits import Dataset, TextSplit

UNKNOWN_LABEL = "unknown label"
DUPLICATE = "exact duplicate"
NEAR_DUPLICATE = "duplicate but for case, quotes, spaces or stops"
CONTRADICTORY = "contradictory (the same text with different labels; all of them)"

FEWEST_EXAMPLES = 10


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Distinct texts, each with the name of its label.

    Texts that differ only in how they are written are the same
    (see `keras_attn.datasets.pairs.same_sentence`): most models cannot tell them apart.

    Attributes:
        name: name of the data set that `split_table` makes of it.
        texts: the texts.
        labels: the name of each text's label.
        label_names: all names of labels.
        account: what was read and what was left out.

    Raises:
        ValueError: a text occurs twice, or a label is not among the names.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    account: TableAccount

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(
                "A table needs one label a text. Received: "
                f"{len(self.texts)} texts, {len(self.labels)} labels."
            )
        if len(set(map(same_sentence, self.texts))) < len(self.texts):
            raise ValueError(
                "A table's texts must differ, or one could be trained on and tested on. "
                "Received some twice; `read_texts` keeps each once."
            )
        if others := set(self.labels) - set(self.label_names):
            raise ValueError(f"Labels that are not among `label_names`: {sorted(others)}.")

    def __len__(self) -> int:
        return len(self.texts)


def read_texts(
    path: str | os.PathLike[str],
    *,
    text_column: str = "text",
    label_column: str = "label",
    delimiter: str | None = None,
    encoding: str = "utf-8",
    label_names: Sequence[str] | None = None,
) -> TextTable:
    r"""Read a table of labelled texts, and account for every row.

    White space around texts and labels is dropped. Labels are names: the JSON numbers 0
    and 1 are `"0"` and `"1"`, and its booleans `"true"` and `"false"`.

    Rows are skipped, counted and reported with their lines when their text is empty, their
    label missing or not in `label_names`, their number of fields wrong, their bytes not of
    the encoding (rows with a NUL character are counted with those), when they repeat an
    earlier row, also if they are written otherwise (see `TextTable`), or when the same text has
    different labels, in which case none of them is kept.

    Args:
        path: a `.csv` or `.tsv` file with a header, or `.jsonl`, `.ndjson` or `.json` with one
            JSON object a line.
        text_column: name of the column, or JSON key, of the texts.
        label_column: that of the labels.
        delimiter: what stands between fields; None is a comma in `.csv`, a tab in `.tsv`.
        encoding: of the file; a byte order mark is accepted.
        label_names: the labels to keep, in the order that numbers them; None is all there
            are, sorted.

    Returns:
        The texts that were kept, and the account.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, no such column, a quote that is never closed, no rows,
            fewer than two labels, or more than 1 % of the rows undecodable.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.csv")
    >>> _ = path.write_text("text,label\nLovely tea.,good\nCold soup.,bad\nCold soup.,bad\n")
    >>> table = read_texts(path)
    >>> table.texts, table.label_names
    (('Lovely tea.', 'Cold soup.'), ('bad', 'good'))
    >>> table.account.skipped
    {'exact duplicate': Skipped(count=1, lines=(4,))}
    """
    path = pathlib.Path(path)
    names = None if label_names is None else _checked_names(label_names)
    rows = read_rows(path, Columns(text_column, label_column), delimiter, encoding)
    if not rows:
        raise ValueError(f"{path} has a header and no rows. A row for each text must follow it.")
    check_decodable(path, rows, encoding)
    kept, skipped = _sift(rows, names)
    counts = Counter(row.label for row in kept)
    all_names = names or tuple(sorted(counts))
    examples = {name: counts[name] for name in all_names}
    account = TableAccount(str(path), len(rows), len(kept), skipped, examples)
    if len(counts) < 2:
        found = f"only the label {next(iter(counts))!r}" if counts else "no row that can be used"
        raise ValueError(
            f"A classifier needs examples of two labels at least, and {path} has {found} in its "
            f"columns {text_column!r} and {label_column!r}.\n{account}"
        )
    texts = tuple(row.text for row in kept)
    return TextTable(path.stem, texts, tuple(row.label for row in kept), all_names, account)


def _checked_names(label_names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(label_names)
    strings = not isinstance(label_names, str) and all(isinstance(name, str) for name in names)
    if not strings or len(set(names)) < max(2, len(names)):
        raise ValueError(
            "`label_names` must be two or more different strings, such as "
            f"('negative', 'positive'). Received: {label_names!r}."
        )
    return names


def _sift(
    rows: Sequence[Row], names: tuple[str, ...] | None
) -> tuple[list[Row], dict[str, Skipped]]:
    """The rows to keep, and the others by reason."""
    lines = defaultdict(list)
    sound = []
    labels_of = defaultdict(set)
    for row in rows:
        if row.problem:
            lines[row.problem].append(row.line)
        elif names is not None and row.label not in names:
            lines[UNKNOWN_LABEL].append(row.line)
        else:
            sound.append(row)
            labels_of[same_sentence(row.text)].add(row.label)
    kept = []
    seen: dict[str, str] = {}
    for row in sound:
        key = same_sentence(row.text)
        if len(labels_of[key]) > 1:
            lines[CONTRADICTORY].append(row.line)
        elif key in seen:
            lines[DUPLICATE if row.text == seen[key] else NEAR_DUPLICATE].append(row.line)
        else:
            seen[key] = row.text
            kept.append(row)
    return kept, tally(lines)


def split_table(
    table: TextTable, *, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Dataset[TextSplit]:
    """Cut a table into training, validation and test splits, each with its share of labels.

    Every label has an example in train, and one in each other split if it has three or more.
    The cut depends on the table, the fractions and `seed` alone. Splits keep the table's
    order.

    Args:
        table: see `read_texts`.
        validation: fraction of each label's examples to choose by.
        test: fraction of each label's examples to measure by, in the end.
        seed: integer that makes the cut.

    Returns:
        A data set of the table's name, with `"train"`, `"validation"` and `"test"`.

    Raises:
        ValueError: fractions that leave a split empty, or too few examples.

    Example:

    >>> texts = tuple(f"Remark {number}." for number in range(20))
    >>> account = TableAccount("mine.csv", 20, 20, {}, {"bad": 10, "good": 10})
    >>> table = TextTable("mine", texts, ("bad", "good") * 10, ("bad", "good"), account)
    >>> {name: len(split) for name, split in split_table(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    check_fractions(validation, test)
    labels = np.array([table.label_names.index(label) for label in table.labels], "int32")
    counts = np.bincount(labels, minlength=1)
    if len(table) < FEWEST_EXAMPLES or counts.max() < 3:
        raise ValueError(
            f"Three splits need {FEWEST_EXAMPLES} examples at least, and 3 or more of some label. "
            f"Received: {len(table)} examples, {counts.max()} of the most frequent label. "
            f"Label {max(FEWEST_EXAMPLES - len(table), 3 - counts.max())} more."
        )
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in range(len(table.label_names)):
        rows = random.permutation(np.flatnonzero(labels == label))
        chosen, measured = held_out(len(rows), validation, test)
        parts["validation"].append(rows[:chosen])
        parts["test"].append(rows[chosen : chosen + measured])
        parts["train"].append(rows[chosen + measured :])
    whole = TextSplit(np.array(table.texts, dtype=object), labels)
    splits = {name: whole.take(np.sort(np.concatenate(rows))) for name, rows in parts.items()}
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset(table.name, table.label_names, readers)


def check_fractions(validation: float, test: float) -> None:
    """Refuse fractions that leave a split empty."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            "`validation` and `test` must be fractions above 0 that leave some to train on, such "
            f"as 0.1 and 0.1. Received: {validation!r} and {test!r}."
        )


def held_out(count: int, validation: float, test: float) -> tuple[int, int]:
    """How many of `count` examples to choose and to measure by; none if there are under 3."""
    if count < 3:
        return 0, 0
    chosen, measured = (max(1, round(count * part)) for part in (validation, test))
    while chosen + measured >= count:
        chosen, measured = (chosen - 1, measured) if chosen > measured else (chosen, measured - 1)
    return chosen, measured
