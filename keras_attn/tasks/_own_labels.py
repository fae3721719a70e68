"""Labels of a user's own data, as indices into a model's label names."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from keras_attn._label_names import label_lookup, label_name
from keras_attn._names import unknown
from keras_attn.datasets import Account


class LabelledTable(Protocol):
    """The interface that `TextTable` and `ImageTable` have in common."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def account(self) -> Account: ...


def label_indices(table: LabelledTable, label_names: Sequence[str], remedy: str = "") -> np.ndarray:
    """Return the labels of a table as int32 indices into a model's label names.

    Args:
        table: The table.
        label_names: The label names of the model.
        remedy: What else to do if a label is unknown, for the message.

    Raises:
        ValueError: The table has a label that the model does not have.
    """
    indices = label_lookup(label_names)
    spelled = {label: indices.get(label, indices.get(label_name(label))) for label in table.labels}
    if others := sorted(label for label, index in spelled.items() if index is None):
        first, *further = others
        also = f" Also unknown: {', '.join(map(repr, further))}." if further else ""
        raise ValueError(
            f"{unknown(f'label in {table.account.path}', first, label_names)}{also} Use the "
            f"model's labels{remedy}."
        )
    return np.array([spelled[label] for label in table.labels], "int32")
