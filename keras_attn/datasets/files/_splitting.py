"""Cutting your own data into splits, and comparing splits that were published as files."""

import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from keras_attn._wording import counted, listed
from keras_attn.datasets.splits import Dataset, InMemory, SplitT

MIN_EXAMPLES = 10  # distinct examples of a table that can be cut into splits
FRACTION = 0.1  # default fraction of examples that are held out for a split


def held_out_fractions(
    validation: float | None, test: float | None, has_validation: bool, has_test: bool
) -> tuple[float, float]:
    """Return the fractions to cut off for validation and test; 0 for a split that is given.

    Args:
        validation: The argument `validation`; None is the default.
        test: The argument `test`; None is the default, and 0 means no test split.
        has_validation: Whether validation data is given.
        has_test: Whether test data is given.

    Raises:
        ValueError: A fraction is given beside data for the same split, or the fractions leave a
            split empty.
    """
    for name, fraction, given in (
        ("validation", validation, has_validation),
        ("test", test, has_test),
    ):
        if given and fraction is not None:
            raise ValueError(
                f"`{name}` is the fraction to cut off, and `{name}_data` gives the whole split. "
                f"Received both, `{name}={fraction!r}`. Leave one out."
            )
    first = 0.0 if has_validation else FRACTION if validation is None else validation
    second = 0.0 if has_test else FRACTION if test is None else test
    if not ((first > 0 or has_validation) and second >= 0 and first + second < 1):
        raise ValueError(
            "`validation` and `test` must be fractions above 0 that leave some to train on, such "
            f"as {FRACTION} and {FRACTION}, their defaults; `test` may be 0 for no test split. "
            f"Received: {first:g} and {second:g}."
        )
    return first, second


def held_out_sizes(count: int, validation: float, test: float) -> tuple[int, int]:
    """Return how many of `count` examples go to the validation and to the test split.

    A fraction of 0 holds out none. Otherwise each split, training included, has an example at
    least, or all examples stay in the training split if they are too few for that.

    Example:

    >>> held_out_sizes(20, 0.1, 0.1), held_out_sizes(3, 0.1, 0.1), held_out_sizes(2, 0.5, 0.4)
    ((2, 2), (1, 1), (0, 0))
    >>> held_out_sizes(2, 0.1, 0), held_out_sizes(9, 0, 0)
    ((1, 0), (0, 0))
    """
    if count <= (validation > 0) + (test > 0):
        return 0, 0
    validation_size, test_size = (
        max(1, round(count * part)) if part else 0 for part in (validation, test)
    )
    while validation_size + test_size >= count:
        if validation_size > test_size:
            validation_size -= 1
        else:
            test_size -= 1
    return validation_size, test_size


def stratified_rows(
    labels: np.ndarray, num_labels: int, validation: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Return the rows of each split, in order, such that each label is divided by the fractions.

    Args:
        labels: Integer array `(N,)`.
        num_labels: Number of labels.
        validation: Fraction of the rows of each label in `"validation"`; 0 for no such split.
        test: Fraction of the rows of each label in `"test"`; 0 for no such split.
        seed: Integer that determines the cut.

    Raises:
        ValueError: There are too few rows.
    """
    counts = np.bincount(labels, minlength=1)
    splits = 1 + (validation > 0) + (test > 0)
    if splits > 1 and (len(labels) < MIN_EXAMPLES or counts.max() < splits):
        raise ValueError(
            f"{splits} splits need {MIN_EXAMPLES} examples at least, and {splits} or more of some "
            f"label. Received: {counted(len(labels), 'example')}, {counts.max()} of the most "
            f"frequent label. Label {max(MIN_EXAMPLES - len(labels), splits - counts.max())} more."
        )
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in range(num_labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        validation_size, test_size = held_out_sizes(len(rows), validation, test)
        held_out_size = validation_size + test_size
        parts["validation"].append(rows[:validation_size])
        parts["test"].append(rows[validation_size:held_out_size])
        parts["train"].append(rows[held_out_size:])
    sizes = {"train": 1.0, "validation": validation, "test": test}
    return {name: np.sort(np.concatenate(rows)) for name, rows in parts.items() if sizes[name] > 0}


def check_labels(of: str, labels: Iterable[str], label_names: Sequence[str]) -> None:
    """Raise ValueError unless given validation or test data has labels of the training data."""
    if others := sorted(set(labels) - set(label_names)):
        raise ValueError(
            f"`{of}` has labels that the training data does not have: "
            f"{listed(others, 'labels')}. The labels of the training data: "
            f"{listed(label_names, 'labels')}."
        )


def combine_splits(
    name: str,
    label_names: tuple[str, ...],
    splits: dict[str, SplitT],
    keys: Callable[[SplitT], Sequence[Hashable]],
    given: Iterable[str],
    examples: str,
    language: str | None = None,
) -> Dataset[SplitT]:
    """Return a data set of splits, with a warning about examples that occur in two of them.

    Published splits often share examples, and a test on examples that the model was trained on
    measures memory. If the given test data does, the data set has a further split `"test_unseen"`
    without these rows.

    Args:
        name: Name of the data set.
        label_names: Its label names.
        splits: The splits, in any order.
        keys: Function of a split that returns a key for each row; equal keys are one example.
        given: The names of the splits that come from files of their own.
        examples: Noun for examples, in the plural.
        language: Code of the language of target texts.
    """
    known = set(keys(splits["train"]))
    for split in ("validation", "test"):
        if split not in splits:
            continue
        split_keys = keys(splits[split])
        seen = np.array([key in known for key in split_keys], bool)
        known |= set(split_keys)  # the validation data chooses the weights
        if split not in given or not seen.any():
            continue
        where = "training" if split == "validation" else "training or validation"
        message = (
            f"{seen.sum():,} of the {len(seen):,} {split} {examples} also occur in the {where} "
            "data, so figures on them measure memory."
        )
        if split == "test" and not seen.all():
            splits["test_unseen"] = splits[split].take(~seen)
            message += " The split test_unseen holds the others."
        warnings.warn(message, UserWarning, stacklevel=3)
    order = ("train", "validation", "test", "test_unseen")
    ordered = {part: splits[part] for part in order if part in splits}
    readers = {part: InMemory(split) for part, split in ordered.items()}
    return Dataset(name, label_names, readers, language)
