"""Tables of the files in a folder for each label: which are skipped, and how they are split."""

import dataclasses
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from keras_attn._label_names import label_name
from keras_attn._wording import counted, listed
from keras_attn.datasets.files._account import FolderAccount, tally
from keras_attn.datasets.files._label_folders import (
    FileKind,
    LabelFile,
    find_files,
    show_paths,
)
from keras_attn.datasets.files._splitting import (
    check_labels,
    combine_splits,
    held_out_fractions,
    stratified_rows,
)
from keras_attn.datasets.files.texts import UNKNOWN_LABEL, check_names
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
    """Why files that can be read are skipped, for accounts."""

    duplicate: str
    contradictory: str


ContentT = TypeVar("ContentT")


@dataclasses.dataclass(frozen=True)
class ReadFile(Generic[ContentT]):
    """A file that was read.

    Attributes:
        content: What a model reads of it; None if it cannot be used.
        digest: A digest of that.
        problem: Why it cannot be used, in a few words, or an empty string.
        error: The message of the error.
    """

    content: ContentT | None
    digest: bytes = b""
    problem: str = ""
    error: str = ""


@dataclasses.dataclass(frozen=True)
class FolderContents(Generic[ContentT]):
    """The files of a folder that were kept: what was read of each, and the fields of a table."""

    contents: list[ContentT]
    name: str
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    paths: tuple[str, ...]
    parts: tuple[str, ...]
    account: FolderAccount

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a table but the examples."""
        names = ("name", "labels", "label_names", "paths", "parts", "account")
        return {name: getattr(self, name) for name in names}


def read_label_folders(
    folder: str | os.PathLike[str],
    kind: FileKind,
    label_names: Sequence[str] | None,
    read: Callable[[list[pathlib.Path]], list[ReadFile[ContentT]]],
    describe: Callable[[list[ContentT]], Sequence[str]],
    reasons: Reasons,
) -> FolderContents[ContentT]:
    """Read a folder that holds a folder of files for each label.

    Args:
        folder: The folder.
        kind: The files.
        label_names: The labels to keep, in the order of their indices; None means all labels of
            the folder, sorted.
        read: Function that reads files.
        describe: Function that returns notes on the contents that are kept.
        reasons: Why files are skipped.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: See `find_files` and `folder_label`; or no file can be used.
    """
    root = pathlib.Path(folder)
    names = None if label_names is None else check_names(label_names)
    files, skipped, folders = find_files(root, kind)
    label_of = {name: folder_label(name, root) for name in folders}
    labels = [label_of[file.folder] for file in files]
    results = read([file.path for file in files])
    problems = problems_of(files, labels, results, names, reasons)
    lines: dict[str, list[str]] = defaultdict(list, skipped)
    shown = show_paths([file.path for file in files], root)
    for path, problem in zip(shown, problems, strict=True):
        if problem:
            lines[problem].append(path)
    kept = [index for index, problem in enumerate(problems) if problem is None]
    kept_labels = [labels[index] if names is None else names[labels[index]] for index in kept]
    counts = Counter(kept_labels)
    all_names = tuple(sorted(counts)) if names is None else tuple(names.values())
    contents = [each for index in kept if (each := results[index].content) is not None]
    errors = [result.error for result in results if result.error]
    empty = sorted(set(label_of.values()) - set(counts)) if names is None else []
    notes = [*describe(contents)]
    if errors:
        notes.append(f"The first {kind.example} that cannot be used: {errors[0]}")
    if empty:
        nothing = f"Folders without a usable {kind.example}, no labels"
        notes.append(f"{nothing}: {listed(empty, 'folders')}.")
    account = FolderAccount(
        str(root),
        len(files) + sum(map(len, skipped.values())),
        len(kept),
        tally(lines),
        {name: counts[name] for name in all_names},
        notes=tuple(notes),
    )
    if not kept:
        raise ValueError(f"{root} has no {kind.example} that can be used.\n{account}")
    return FolderContents(
        contents,
        name=root.resolve().name,
        labels=tuple(kept_labels),
        label_names=all_names,
        paths=tuple(shown[index] for index in kept),
        parts=tuple(files[index].part for index in kept),
        account=account,
    )


def check_table(table: Any, examples: int, noun: str) -> None:
    """Raise ValueError unless a table has a known label, a path and a part for each example.

    Args:
        table: The table.
        examples: Number of examples.
        noun: Noun for one.
    """
    counts = {
        noun: examples,
        "label": len(table.labels),
        "path": len(table.paths),
        "part": len(table.parts),
    }
    if len(set(counts.values())) > 1:
        received = ", ".join(counted(count, name) for name, count in counts.items())
        raise ValueError(
            f"A table needs one label, path and part for each {noun}. Received: {received}."
        )
    if others := set(table.labels) - set(table.label_names):
        raise ValueError(
            f"Labels that are not among `label_names`: {listed(sorted(others), 'labels')}."
        )


def problems_of(
    files: Sequence[LabelFile],
    labels: Sequence[str],
    results: Sequence[ReadFile[Any]],
    names: dict[str, str] | None,
    reasons: Reasons,
) -> list[str | None]:
    """Return why each file is skipped, or None.

    Args:
        files: The files.
        labels: The label of each.
        results: What was read of each.
        names: The labels to keep; None keeps all.
        reasons: Why files are skipped.
    """
    problems: list[str | None] = []
    labels_of: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    keys = []
    for file, label, result in zip(files, labels, results, strict=True):
        # Within a split; those that splits share are reported when it is split.
        keys.append((file.part, result.digest))
        if not result.problem and (names is None or label in names):
            labels_of[keys[-1]].add(label)
    seen = set()
    for key, label, result in zip(keys, labels, results, strict=True):
        if result.problem:
            problems.append(result.problem)
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
