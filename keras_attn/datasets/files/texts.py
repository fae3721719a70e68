"""Reading and splitting of your own tables of labelled texts."""

import dataclasses
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from keras_attn.datasets.files._account import Skipped, TableAccount, tally
from keras_attn.datasets.files._rows import Columns, Row, check_decodable, read_rows
from keras_attn.datasets.files._splitting import MIN_EXAMPLES, check_fractions, held_out_sizes
from keras_attn.datasets.pairs import sentence_key
from keras_attn.datasets.splits import Dataset, TextSplit

UNKNOWN_LABEL = "unknown label"
DUPLICATE = "exact duplicate"
NEAR_DUPLICATE = "duplicate but for case, quotes, spaces or stops"
CONTRADICTORY = "contradictory (the same text with different labels; all of them)"


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Distinct texts, each with the name of its label.

    Texts that differ only in spelling conventions count as equal (see
    `keras_attn.datasets.pairs.sentence_key`): most models cannot distinguish them.

    Attributes:
        name: Name of the data set that `split_table` returns.
        texts: The texts.
        labels: The name of the label of each text.
        label_names: The names of all labels.
        account: The rows that were kept and skipped.

    Raises:
        ValueError: A text occurs twice, a text has no label, or a label is not in
            `label_names`.
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
        if len(set(map(sentence_key, self.texts))) < len(self.texts):
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
    r"""Read a table of labelled texts, and report every row that is skipped.

    White space around texts and labels is removed. Labels are names: the JSON numbers 0 and 1
    become `"0"` and `"1"`, and booleans `"true"` and `"false"`.

    A row is skipped, and its line is reported, if

    - its text is empty, or its label is missing or not in `label_names`;
    - it has the wrong number of fields;
    - its bytes are not in the encoding, or contain NUL;
    - it repeats an earlier row, possibly in another spelling (see `TextTable`);
    - its text also occurs with another label: all rows of that text are skipped.

    Args:
        path: A `.csv` or `.tsv` file with a header; or a `.jsonl`, `.ndjson` or `.json` file
            with one JSON object per line.
        text_column: Name of the column, or JSON key, of the texts.
        label_column: Name of the column, or JSON key, of the labels.
        delimiter: Field separator; None means a comma in `.csv` and a tab in `.tsv`.
        encoding: Encoding of the file; a byte order mark is accepted.
        label_names: The labels to keep, in the order of their indices; None means all labels
            of the file, sorted.

    Returns:
        The rows that were kept, with the account of all rows.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The suffix or a column is unknown, a quote is never closed, there are no
            rows or fewer than two labels, or more than 1 % of the rows cannot be decoded.

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
    names = None if label_names is None else _check_names(label_names)
    rows = read_rows(path, Columns(text_column, label_column), delimiter, encoding)
    if not rows:
        raise ValueError(f"{path} has a header and no rows. A row for each text must follow it.")
    check_decodable(path, rows, encoding)
    kept, skipped = _select_rows(rows, names)
    counts = Counter(row.label for row in kept)
    all_names = names or tuple(sorted(counts))
    examples = {name: counts[name] for name in all_names}
    account = TableAccount(str(path), len(rows), len(kept), skipped, examples)
    if len(counts) < 2:
        content = f"only the label {next(iter(counts))!r}" if counts else "no row that can be used"
        raise ValueError(
            f"A classifier needs examples of two labels at least, and {path} has {content} in its "
            f"columns {text_column!r} and {label_column!r}.\n{account}"
        )
    texts = tuple(row.text for row in kept)
    return TextTable(path.stem, texts, tuple(row.label for row in kept), all_names, account)


def _check_names(label_names: Sequence[str]) -> tuple[str, ...]:
    """Return `label_names` as a tuple, if they are two or more distinct strings."""
    names = tuple(label_names)
    strings = not isinstance(label_names, str) and all(isinstance(name, str) for name in names)
    if not strings or len(set(names)) < max(2, len(names)):
        raise ValueError(
            "`label_names` must be two or more different strings, such as "
            f"('negative', 'positive'). Received: {label_names!r}."
        )
    return names


def _select_rows(
    rows: Sequence[Row], names: tuple[str, ...] | None
) -> tuple[list[Row], dict[str, Skipped]]:
    """Return the rows to keep, and the other rows by reason."""
    lines = defaultdict(list)
    valid = []
    labels_of = defaultdict(set)
    for row in rows:
        if row.problem:
            lines[row.problem].append(row.line)
        elif names is not None and row.label not in names:
            lines[UNKNOWN_LABEL].append(row.line)
        else:
            valid.append(row)
            labels_of[sentence_key(row.text)].add(row.label)
    kept = []
    seen: dict[str, str] = {}
    for row in valid:
        key = sentence_key(row.text)
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
    """Cut a table into training, validation and test splits, stratified by label.

    Every label has an example in the training split; a label with three or more examples has
    one in each split. The cut depends only on the table, the fractions and `seed`. Splits keep
    the order of the table.

    Args:
        table: The table, see `read_texts`.
        validation: Fraction of the examples of each label in the validation split.
        test: Fraction of the examples of each label in the test split.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table and the splits `"train"`, `"validation"` and
        `"test"`.

    Raises:
        ValueError: The fractions leave a split empty, or there are too few examples.

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
    if len(table) < MIN_EXAMPLES or counts.max() < 3:
        raise ValueError(
            f"Three splits need {MIN_EXAMPLES} examples at least, and 3 or more of some label. "
            f"Received: {len(table)} examples, {counts.max()} of the most frequent label. "
            f"Label {max(MIN_EXAMPLES - len(table), 3 - counts.max())} more."
        )
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in range(len(table.label_names)):
        rows = random.permutation(np.flatnonzero(labels == label))
        validation_size, test_size = held_out_sizes(len(rows), validation, test)
        held_out_size = validation_size + test_size
        parts["validation"].append(rows[:validation_size])
        parts["test"].append(rows[validation_size:held_out_size])
        parts["train"].append(rows[held_out_size:])
    whole = TextSplit(np.array(table.texts, dtype=object), labels)
    splits = {name: whole.take(np.sort(np.concatenate(rows))) for name, rows in parts.items()}
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    return Dataset(table.name, table.label_names, readers)
