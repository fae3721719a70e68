"""Labels of a user's own data, as indices into a model's label names."""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from keras_attn._label_names import label_lookup, label_name
from keras_attn._names import unknown
from keras_attn._wording import listed
from keras_attn.datasets import Account


class LabelledTable(Protocol):
    """The interface that `TextTable` and `ImageTable` have in common."""

    @property
    def labels(self) -> tuple[Any, ...]: ...

    @property
    def account(self) -> Account: ...


def label_indices(table: LabelledTable, label_names: Sequence[str], remedy: str = "") -> np.ndarray:
    """Return the labels of a table as int32 indices into a model's label names.

    For texts that may have several labels it returns a multi-hot array `(N, C)`.

    Args:
        table: The table.
        label_names: The label names of the model.
        remedy: What else to do if a label is unknown, for the message.

    Raises:
        ValueError: The table has a label that the model does not have.
    """
    indices = label_lookup(label_names)
    multi_label = getattr(table, "multi_label", False)
    names = set(itertools.chain(*table.labels) if multi_label else table.labels)
    spelled = {label: indices.get(label, indices.get(label_name(label))) for label in names}
    if others := sorted(label for label, index in spelled.items() if index is None):
        first, *further = others
        also = f" Also unknown: {listed(further, 'labels')}." if further else ""
        raise ValueError(
            f"{unknown(f'label in {table.account.path}', first, label_names)}{also} Use the "
            f"model's labels{remedy}."
        )
    if multi_label:
        result = np.zeros((len(table.labels), len(label_names)), "int32")
        for row, labels in enumerate(table.labels):
            result[row, np.array([spelled[label] for label in labels], int)] = 1
        return result
    return np.array([spelled[label] for label in table.labels], "int32")
