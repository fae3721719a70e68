"""Reading and splitting of your own tables of labelled texts."""

import dataclasses
import itertools
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._label_names import MISSING_VALUES, label_name
from keras_attn._wording import counted, listed
from keras_attn.datasets.files._account import Skipped, TableAccount, tally
from keras_attn.datasets.files._rows import NO_LABEL, Columns, Format, Row
from keras_attn.datasets.files._splitting import (
    check_labels,
    combine_splits,
    held_out_fractions,
    stratified_rows,
)
from keras_attn.datasets.files._tables import read_rows
from keras_attn.datasets.pairs import sentence_key
from keras_attn.datasets.splits import Dataset, TextSplit

UNKNOWN_LABEL = "unknown label"
WRITTEN = f"{NO_LABEL}, written"  # followed by how it is written
DUPLICATE = "exact duplicate"
NEAR_DUPLICATE = "duplicate but for case, quotes, spaces or stops"
CONTRADICTORY = "contradictory (the same text with different labels; all of them)"


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Distinct texts, each with the name of its label, or with the names of all its labels.

    Texts that differ only in spelling conventions count as equal (see
    `keras_attn.datasets.pairs.sentence_key`): most models cannot distinguish them.

    Attributes:
        name: Name of the data set that `split_table` returns.
        texts: The texts.
        labels: The name of the label of each text; if it may have several or none, a tuple of
            names, in the order of `label_names`.
        label_names: The names of all labels; `read_texts` finds them in the file.
        account: The rows that were kept and skipped.
        multi_label: Whether a text may have several labels, or none.

    Raises:
        ValueError: A text occurs twice, a text has no label, or a label is not in
            `label_names`.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[Any, ...]
    label_names: tuple[str, ...]
    account: TableAccount
    multi_label: bool = False

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(
                "A table needs one label per text. Received: "
                f"{counted(len(self.texts), 'text')}, {counted(len(self.labels), 'label')}."
            )
        if len(set(map(sentence_key, self.texts))) < len(self.texts):
            raise ValueError(
                "A table's texts must differ, or one could be trained on and tested on. "
                "Received some twice; `read_texts` keeps each once."
            )
        if others := set(self.names) - set(self.label_names):
            raise ValueError(
                f"Labels that are not among `label_names`: {listed(sorted(others), 'labels')}."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        several = ", any number of labels per text" if self.multi_label else ""
        return (
            f"TextTable({self.name!r}, {counted(len(self), 'text')}, "
            f"labels: {self.account.describe_labels()}{several})"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels of all texts, in a row."""
        return tuple(itertools.chain(*self.labels)) if self.multi_label else self.labels


def read_texts(
    path: str | os.PathLike[str],
    *,
    text_column: str | int = "text",
    label_column: str | int = "label",
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    label_names: Sequence[str] | None = None,
    label_separator: str | None = None,
    keep_na_labels: bool = False,
) -> TextTable:
    r"""Read a table of labelled texts, and report every row that is skipped.

    White space around texts and labels is removed. Labels are names, as
    `keras_attn.datasets.label_name` writes them: 1, 1.0 and `"1.0"` are the label `"1"`, and true
    and `"True"` are `"true"`.

    A row is skipped, and its line is reported, if

    - its text is empty, or its label is missing or not in `label_names`; a label that pandas reads
      as a missing value, such as `nan`, `None` or `NA`, is missing unless `keep_na_labels` is True
      or it is in `label_names`;
    - it has the wrong number of fields;
    - its bytes are not in the encoding, or contain NUL;
    - it repeats an earlier row, possibly in another spelling (see `TextTable`);
    - its text also occurs with another label: all rows of that text are skipped.

    Args:
        path: A `.csv`, `.tsv` or `.txt` file; or a `.jsonl`, `.ndjson` or `.json` file with one
            JSON object per line.
        text_column: Column of the texts: its name, or JSON key; or its number, counted from 1 as
            `cut` and `awk` do.
        label_column: Column of the labels, likewise.
        delimiter: Field separator; None means a comma in `.csv`, and a tab in `.tsv` and `.txt`.
        quoting: Whether fields may be in quotes, and then hold delimiters and line breaks, as CSV
            has it. None means yes, but in files with tabs only if all their texts are quoted:
            most corpora with tabs hold quotes as they are. The account says what was assumed.
        header: Whether the first row holds the names of the columns. None means yes, unless both
            columns are given by number.
        encoding: Encoding of the file. None means UTF-8, or what its byte order mark says.
        label_names: The labels to keep, in the order of their indices; None means all labels
            of the file, sorted.
        label_separator: Separator of the labels of a text, such as `"|"`, where a text may have
            several labels, or none: an empty or missing label. JSON lines may also hold a list of
            labels. None means exactly one label per text.
        keep_na_labels: Whether labels such as `NA` and `None` are names of labels like others.

    Returns:
        The rows that were kept, with the account of all rows.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The suffix or a column is unknown, a quote is never closed, no row can be
            used, or more than 1 % of the rows cannot be decoded.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.csv")
    >>> _ = path.write_text("text,label\nLovely tea.,good\nCold soup.,bad\nCold soup.,bad\n")
    >>> table = read_texts(path)
    >>> table.texts, table.label_names
    (('Lovely tea.', 'Cold soup.'), ('bad', 'good'))
    >>> table.account.skipped
    {'exact duplicate': Skipped(count=1, lines=(4,))}
    >>> table.account.notes[0].partition(":")[0]
    'Read as separated by commas, with quoting, with a header'
    """
    path = pathlib.Path(path)
    names = None if label_names is None else check_names(label_names)
    columns = Columns(text_column, label_column)
    options = Format(delimiter, quoting, header, encoding, label_separator)
    rows, notes = read_rows(path, columns, options)
    multi_label = label_separator is not None
    kept, skipped = _select_rows(rows, names, multi_label, keep_na_labels)
    if any(reason.startswith(WRITTEN) for reason in skipped):
        notes += (
            "Labels that pandas reads as missing values are no labels: rows with them are skipped. "
            "If they are names of labels, pass `keep_na_labels=True`.",
        )
    counts = Counter(itertools.chain(*(row.labels for row in kept)))
    all_names = tuple(sorted(counts)) if names is None else tuple(names.values())
    examples = {name: counts[name] for name in all_names}
    if multi_label:
        unlabelled = sum(not row.labels for row in kept)
        mean = counts.total() / max(1, len(kept))
        notes += (f"{mean:.2f} labels per text; {counted(unlabelled, 'text')} without labels.",)
    else:
        notes += _warn_of_header(kept, counts)
    account = TableAccount(str(path), len(rows), len(kept), skipped, examples, notes=notes)
    if not kept:
        raise ValueError(f"{path} has no row that can be used.\n{account}")
    texts = tuple(row.text for row in kept)
    labels: tuple[Any, ...] = tuple(row.labels if multi_label else row.label for row in kept)
    return TextTable(path.stem, texts, labels, all_names, account, multi_label)


def check_names(label_names: Sequence[str]) -> dict[str, str]:
    """Return label names by their spelling as `label_name` writes it.

    Raises:
        ValueError: They are not two or more different names.
    """
    received = f"Received: {label_names!r}."
    if isinstance(label_names, str | bytes):
        raise ValueError(f"`label_names` must be a list of two or more different names. {received}")
    names = [
        name if isinstance(name, str) else label_name(name)
        for name in label_names
        if not isinstance(name, list | tuple | dict | set)
    ]
    spellings = {label_name(name): str(name) for name in names}
    if "" in spellings or len(spellings) < max(2, len(label_names)):
        raise ValueError(
            "`label_names` must be two or more different names, such as "
            f"('negative', 'positive'); 1 and 1.0 are one name. {received}"
        )
    return spellings


def _warn_of_header(kept: Sequence[Row], counts: Counter[str]) -> tuple[str, ...]:
    """Return a note if the first row is likely a header that was read as an example."""
    first = kept[0] if kept else None
    if first is None or first.line != 1 or counts[first.label] > 1 or len(kept) <= len(counts):
        return ()
    return (f"Line 1 alone has the label {first.label!r}. If it is a header, pass `header=True`.",)


def _select_rows(
    rows: Sequence[Row], names: dict[str, str] | None, multi_label: bool, keep_na_labels: bool
) -> tuple[list[Row], dict[str, Skipped]]:
    """Return the rows to keep, with their labels by name, and the other rows by reason."""
    lines = defaultdict(list)
    valid = []
    labels_of = defaultdict(set)
    order = {name: index for index, name in enumerate(names or ())}
    for row in rows:
        labels = set(map(label_name, row.labels if multi_label else (row.label,)))
        if row.problem:
            lines[row.problem].append(row.line)
        elif missing := set() if keep_na_labels else labels & MISSING_VALUES - set(names or ()):
            lines[f"{WRITTEN} {min(missing)!r}"].append(row.line)
        elif names is not None and not labels <= set(names):
            lines[UNKNOWN_LABEL].append(row.line)
        else:
            ordered = sorted(labels) if names is None else sorted(labels, key=order.__getitem__)
            own = tuple(name if names is None else names[name] for name in ordered)
            valid.append(dataclasses.replace(row, label="" if multi_label else own[0], labels=own))
            labels_of[sentence_key(row.text)].add(own)
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
    table: TextTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: TextTable | None = None,
    test_data: TextTable | None = None,
    seed: int = 0,
) -> Dataset[TextSplit]:
    """Return a table as a data set of training, validation and test splits.

    What is not given as a table of its own is cut from `table`, stratified by label: every label
    has an example in the training split, and a label with enough examples has one in each split.
    The cut depends only on the table, the fractions and `seed`. Splits keep the order of the
    table.

    Args:
        table: The table, see `read_texts`. A text with several labels counts for the least frequent
            of them.
        validation: Fraction of the examples of each label in the validation split. [default: 0.1]
        test: Fraction of the examples of each label in the test split; 0 for no test split.
            [default: 0.1]
        validation_data: The validation split, such as a published one, in place of a fraction.
        test_data: The test split, likewise.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table and the splits `"train"`, `"validation"` and
        `"test"`. If texts of `test_data` also occur in the other splits, a warning says how many,
        and a split `"test_unseen"` holds the others.

    Raises:
        ValueError: The fractions leave a split empty, a fraction is given beside data for the same
            split, there are too few examples or labels, or given data has other labels.

    Example:

    >>> texts = tuple(f"Remark {number}." for number in range(20))
    >>> account = TableAccount("mine.csv", 20, 20, {}, {"bad": 10, "good": 10})
    >>> table = TextTable("mine", texts, ("bad", "good") * 10, ("bad", "good"), account)
    >>> {name: len(split) for name, split in split_table(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    >>> {name: len(split) for name, split in split_table(table, test=0).items()}
    {'train': 18, 'validation': 2}
    """
    given = {"validation": validation_data, "test": test_data}
    fractions = held_out_fractions(
        validation, test, validation_data is not None, test_data is not None
    )
    if len(set(table.names)) < 2:
        only = f"only the label {table.names[0]!r}" if table.names else "none"
        raise ValueError(
            f"A classifier needs examples of two labels at least, and the table has {only}.\n"
            f"{table.account}"
        )
    whole = make_text_split(table, table.label_names)
    strata = _rarest_labels(whole.labels) if table.multi_label else whole.labels
    rows = stratified_rows(strata, len(table.label_names) + table.multi_label, *fractions, seed)
    splits = {name: whole.take(part) for name, part in rows.items()}
    for name, other in given.items():
        if other is not None:
            if other.multi_label != table.multi_label:
                raise ValueError(
                    f"`table` and `{name}_data` must both be read with `label_separator`, or both "
                    f"without. Received: {table.multi_label} and {other.multi_label}."
                )
            check_labels(f"{name}_data", other.names, table.label_names)
            splits[name] = make_text_split(other, table.label_names)
    dataset = combine_splits(
        table.name,
        table.label_names,
        splits,
        lambda split: [sentence_key(text) for text in split.texts],
        [name for name, other in given.items() if other is not None],
        "texts",
    )
    return dataclasses.replace(dataset, multi_label=table.multi_label)


def _rarest_labels(labels: np.ndarray) -> np.ndarray:
    """Return for each row of a multi-hot array `(N, C)` its least frequent label, or `C`."""
    frequencies = np.where(labels > 0, labels.sum(axis=0), len(labels) + 1)
    return np.where(labels.any(axis=1), frequencies.argmin(axis=1), labels.shape[1])


def make_text_split(table: TextTable, label_names: Sequence[str]) -> TextSplit:
    """Return all rows of a table, with labels as indices into `label_names`."""
    index = {name: number for number, name in enumerate(label_names)}
    if table.multi_label:
        labels = np.zeros((len(table), len(label_names)), "int32")
        for row, names in enumerate(table.labels):
            labels[row, [index[name] for name in names]] = 1
    else:
        labels = np.array([index[label] for label in table.labels], "int32")
    return TextSplit(np.array(table.texts, dtype=object), labels)
