"""Tables of the files in a folder for each label: which are skipped, and how they are split."""

import pathlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from keras_attn._label_names import label_name
from keras_attn.datasets.files._account import FolderAccount
from keras_attn.datasets.files._label_folders import LabelFile
from keras_attn.datasets.files._splitting import (
    check_labels,
    combine_splits,
    held_out_fractions,
    stratified_rows,
)
from keras_attn.datasets.files.texts import UNKNOWN_LABEL
from keras_attn.datasets.splits import Dataset, SplitT


class FolderTable(Protocol):
    """The interface that `ImageTable` and `WaveformTable` have in common."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def label_names(self) -> tuple[str, ...]: ...

    @property
    def parts(self) -> tuple[str, ...]: ...

    @property
    def account(self) -> FolderAccount: ...


class Reasons(NamedTuple):
    """Why files are skipped, for accounts."""

    unreadable: str
    duplicate: str
    contradictory: str


def problems_of(
    files: Sequence[LabelFile],
    labels: Sequence[str],
    digests: Sequence[bytes | None],
    names: dict[str, str] | None,
    reasons: Reasons,
) -> list[str | None]:
    """Return why each file is skipped, or None.

    Args:
        files: The files.
        labels: The label of each.
        digests: A digest of what a model reads of each; None for unreadable files.
        names: The labels to keep; None keeps all.
        reasons: Why files are skipped.
    """
    problems: list[str | None] = []
    labels_of: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    keys = []
    for file, label, digest in zip(files, labels, digests, strict=True):
        # Within a split; those that splits share are reported when it is split.
        keys.append((file.part, digest or b""))
        if digest is not None and (names is None or label in names):
            labels_of[keys[-1]].add(label)
    seen = set()
    for key, label, digest in zip(keys, labels, digests, strict=True):
        if digest is None:
            problems.append(reasons.unreadable)
        elif names is not None and label not in names:
            problems.append(UNKNOWN_LABEL)
        elif len(labels_of[key]) > 1:
            problems.append(reasons.contradictory)
        else:
            problems.append(reasons.duplicate if key in seen else None)
            seen.add(key)
    return problems


def folder_label(folder: str, root: pathlib.Path) -> str:
    """Return the name of the label of a folder, or raise ValueError if it is not UTF-8."""
    try:
        folder.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The names of labels must be UTF-8. Received: a folder {folder!r} in {root}. "
            "Rename it."
        ) from error
    return label_name(folder)


def cut_folder(
    table: FolderTable,
    whole: SplitT,
    given_split: Callable[[str, Any], SplitT],
    keys: Callable[[SplitT], Sequence[Hashable]],
    examples: str,
    *,
    validation: float | None,
    test: float | None,
    validation_data: Any,
    test_data: Any,
    seed: int,
) -> Dataset[SplitT]:
    """Return a table as a data set of training, validation and test splits.

    Args:
        table: The table.
        whole: All of its examples.
        given_split: Function from the name of a split and its own table to the split.
        keys: Function of a split that returns a key for each example; equal keys are one example.
        examples: Noun for examples, in the plural.
        validation: See `keras_attn.datasets.split_images`.
        test: See `keras_attn.datasets.split_images`.
        validation_data: See `keras_attn.datasets.split_images`.
        test_data: See `keras_attn.datasets.split_images`.
        seed: Integer that determines the cut.
    """
    given = {"validation": validation_data, "test": test_data}
    parts = np.array(table.parts)
    for name, other in given.items():
        if other is not None and name in table.parts:
            raise ValueError(
                f"{table.account.path} has a folder for {name}, and `{name}_data` was given too. "
                "Leave one out."
            )
    for name, fraction in (("validation", validation), ("test", test)):
        if name in table.parts and fraction is not None:
            raise ValueError(
                f"`{name}` is the fraction to cut off, and {table.account.path} has a folder for "
                f"{name}. Received both, `{name}={fraction!r}`. Leave out `{name}`, or "
                "rename the folder."
            )
    fractions = held_out_fractions(
        validation, test, *(other is not None or name in parts for name, other in given.items())
    )
    train = np.flatnonzero((parts == "") | (parts == "train"))
    train_labels = {table.labels[row] for row in train}
    if len(train_labels) < 2:
        raise ValueError(
            f"A classifier needs examples of two labels at least, and the training {examples} have "
            f"{len(train_labels)}.\n{table.account}"
        )
    rows = stratified_rows(whole.targets[train], len(table.label_names), *fractions, seed)
    splits = {name: whole.take(train[part]) for name, part in rows.items()}
    for name, other in given.items():
        if other is not None:
            splits[name] = given_split(name, other)
        elif name in parts:
            own = np.flatnonzero(parts == name)
            check_labels(name, (table.labels[row] for row in own), sorted(train_labels))
            splits[name] = whole.take(own)
    return combine_splits(
        table.name,
        table.label_names,
        splits,
        keys,
        [name for name, other in given.items() if other is not None or name in parts],
        examples,
    )


def check_given(name: str, other: FolderTable, table: FolderTable) -> None:
    """Raise ValueError unless the table of a split has labels of another, and no folders of splits.

    Args:
        name: Name of the split.
        other: Its table.
        table: The table that it goes with.
    """
    check_labels(f"{name}_data", other.labels, table.label_names)
    if set(other.parts) != {""}:
        raise ValueError(
            f"`{name}_data` must hold folders of labels. Received: {other.account.path}, which "
            "has folders of splits. Give the folder of one split."
        )
