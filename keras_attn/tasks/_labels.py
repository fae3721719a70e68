"""Conversion of users' labels, names or numbers, into the indices of a classifier."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._arrays import as_array, to_array
from keras_attn._label_names import label_lookup, label_name, names_are_other_numbers
from keras_attn._types import Tensor
from keras_attn._wording import MAX_LISTED, counted, listed
from keras_attn.tasks._batches import with_rank

# What other libraries call the labels of a new model, and the argument here.
LABEL_ARGUMENTS = dict.fromkeys(
    ("labels", "classes", "class_names", "num_labels", "n_classes"), "`label_names`"
)
SEVERAL_LABELS = "For texts with several labels, build the model with multi_label=True."


class LabelIndexer:
    """Conversion of labels into indices.

    Args:
        label_names: The name of each class.
        model: Name of the model's class, for messages.
        examples: Noun for the inputs, such as `"texts"`, for messages.

    Example:

    >>> LabelIndexer(("bad", "good"), "TextClassifier", "texts").indices(["good", "bad"])
    array([1, 0], dtype=int32)
    """

    def __init__(self, label_names: Sequence[str], model: str, examples: str) -> None:
        self.label_names, self.model, self.examples = tuple(label_names), model, examples

    def indices(self, y: Any) -> Any:
        """Return labels as indices, see `ClassificationTask.preprocess_targets`."""
        y = self._to_labels(y)
        if not isinstance(y, np.ndarray):
            if not hasattr(y, "__array__"):
                return y
            y = np.asarray(y)  # of a tensor
        if y.dtype.kind == "O":
            values = y.ravel().tolist()
            strings = [isinstance(value, str | bytes) for value in values]
            if any(strings) and not all(strings):
                raise self._wrong_label(values[strings.index(False)], " among names")
            if not any(strings):
                missing = [value for value in values if label_name(value) == ""]
                if missing:
                    raise self._wrong_label(missing[0])
                y = np.asarray(y.tolist())
        if y.dtype.kind in "USO":
            return without_column(self._name_indices(y))
        self._check_unambiguous(y)
        if self.may_be_distributions(y.shape):
            return y
        return without_column(self._check_indices(y))

    def batch_indices(self, targets: Tensor) -> Tensor:
        """Return the labels of a batch as indices, see `ClassificationTask.index_labels`."""
        dtype = getattr(targets.dtype, "name", targets.dtype)
        if targets.shape.rank is None:
            if dtype not in ("string", "bool") and "int" not in dtype:
                raise ValueError(
                    f"The {dtype} targets of the tf.data.Dataset have no shape. Pass "
                    "`output_signature` to tf.data.Dataset.from_generator."
                )
            targets = with_rank(targets, 1)
        import tensorflow as tf

        if dtype == "string":
            indices = tf.numpy_function(self._name_indices, [targets], tf.int32, stateful=False)
            return without_column(tf.ensure_shape(indices, targets.shape))
        if self.may_be_distributions(targets.shape):
            return targets
        if self._names_are_other_numbers:
            raise self._ambiguous(dtype)
        targets = without_column(targets)
        if dtype == "bool":
            return tf.where(targets, *self._boolean_indices())
        count = len(self.label_names)
        # In int64, because the number of labels may be out of range for narrow integers.
        indices = targets if "float" in dtype else tf.cast(targets, "int64")
        valid = (indices >= 0) & (indices < count)
        if "float" in dtype:
            valid &= tf.equal(targets, tf.floor(targets))
        message = (
            f"Labels must be names in {self._listed}, or their indices, integers from 0 to "
            f"{count - 1}. Received:"
        )
        wrong = tf.boolean_mask(targets, ~valid)
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(valid), [message, wrong])]):
            return tf.cast(targets, "int64" if "float" in dtype else targets.dtype)

    def check(self, y: Any, argument: str = "", loss_reads_indices: bool = False) -> None:
        """Raise ValueError for labels that are missing or ambiguous.

        Distributions over the labels are refused if the loss takes indices, and numbers if the
        names of the labels are other numbers: 1 is then a name, and the index of another name.

        Args:
            y: The labels of arrays or lists of inputs.
            argument: Name of the argument that holds inputs and labels, for the message; "" for
                `x` and `y`.
            loss_reads_indices: Whether the loss takes indices, not distributions.
        """
        where = f" in `{argument}`" if argument else ""
        if y is None:
            examples = self.examples
            remedy = f"Pass {argument}=({examples}, labels)" if argument else "Pass `y`"
            raise ValueError(
                f"There must be a label for each of the {examples}{where}. Received: {examples} "
                f"alone. {remedy}, or a data set of batches (inputs, labels)."
            )
        self._check_unambiguous(y, where)
        shape: tuple[int, ...] = tuple(getattr(self._to_labels(y), "shape", ()))
        if len(shape) == 2 and shape[1] == len(self.label_names) > 1 and loss_reads_indices:
            raise ValueError(
                f"Labels{where} must be names in {self._listed}, or their indices. Received: "
                f"an array of shape {shape}, one number for each label. Pass "
                "labels.argmax(axis=-1); or compile the model with "
                f"keras.losses.CategoricalCrossentropy(from_logits=True). {SEVERAL_LABELS}"
            )

    @property
    def _listed(self) -> str:
        """The label names for a message; a long list is cut."""
        return f"({listed(self.label_names, 'labels')})"

    def may_be_distributions(self, shape: Any) -> bool:
        """Return whether numbers of a shape may be distributions over the classes."""
        return len(shape) > 1 and (shape[-1] != 1 or len(self.label_names) == 1)

    def _to_labels(self, y: Any) -> Any:
        """Return labels as an array, or unchanged, and raise ValueError for lists of labels."""
        y = as_array(in_label_order(y, self.label_names))
        rows = [
            row
            for row in (y if isinstance(y, list | tuple | np.ndarray) else ())
            if isinstance(row, list | tuple | set)
        ]
        # Lists of one name each are a column (N, 1).
        several = [row for row in rows if len(row) != 1]
        if several and any(isinstance(name, str | bytes) for row in rows for name in row):
            raise ValueError(
                f"A {self.model} has one label for each of the "
                f"{self.examples}. Received: the labels {several[0]!r} for one of "
                f"them. {SEVERAL_LABELS}"
            )
        return to_array(y)

    def _name_indices(self, y: np.ndarray) -> np.ndarray:
        """Return the indices of an array of names."""
        indices = label_lookup(self.label_names)
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in y.ravel()]
        rows = [indices.get(name, indices.get(label_name(name))) for name in names]
        if None in rows:
            raise self._wrong_label(
                min(n for n, row in zip(names, rows, strict=True) if row is None)
            )
        return np.array(rows, "int32").reshape(y.shape)

    def _check_indices(self, y: np.ndarray) -> np.ndarray:
        """Return numbers as indices, and raise ValueError if they cannot be."""
        if y.dtype.kind == "b":
            return np.where(y, *self._boolean_indices()).astype("int32")
        if y.dtype.kind == "f":
            wrong = y[~np.isfinite(y) | (y != np.floor(y))]
            if wrong.size:
                raise self._wrong_label(wrong.flat[0])
            y = y.astype("int64")
        if y.dtype.kind in "iu":
            wrong = y[(y < 0) | (y >= len(self.label_names))]
            if wrong.size:
                raise self._wrong_label(wrong.flat[0])
        return y

    def _boolean_indices(self) -> tuple[int, int]:
        """Return the indices of True and False: by their names, if the labels have these.

        Raises:
            ValueError: The labels do not have these names, and are not two.
        """
        indices = label_lookup(self.label_names)
        if "true" in indices and "false" in indices:
            return indices["true"], indices["false"]
        if len(self.label_names) != 2:
            raise ValueError(
                f"Labels must be names in {self._listed}, or their indices. Received: "
                "booleans, which can be the labels of two classes only. Pass names; or "
                "labels.astype(int) if they are indices."
            )
        return 1, 0

    def _check_unambiguous(self, y: Any, where: str = "") -> None:
        """Raise ValueError for numbers that could be names as well as indices of labels."""
        if not self._names_are_other_numbers:
            return
        y = self._to_labels(y)
        dtype, shape = getattr(y, "dtype", ""), getattr(y, "shape", ())
        is_number = re.match(r"u?int|float|bool", getattr(dtype, "name", str(dtype)))
        if is_number and not self.may_be_distributions(shape):
            raise self._ambiguous(dtype, where)

    @property
    def _names_are_other_numbers(self) -> bool:
        """Return whether the names are numbers, but not the index of each label."""
        return names_are_other_numbers(self.label_names)

    def _ambiguous(self, dtype: Any, where: str = "") -> ValueError:
        return ValueError(
            f"Labels{where} must be strings, because the names {self._listed} are numbers that are "
            f"not their indices. Received: {getattr(dtype, 'name', dtype)}. Pass "
            "labels.astype(str) if they are names; if they are indices, "
            "np.array(model.label_names)[labels]; in a tf.data.Dataset "
            "tf.strings.as_string(labels) and tf.gather(model.label_names, labels)."
        )

    def _wrong_label(self, label: Any, where: str = "") -> ValueError:
        """Return the error for a label that is neither a name nor an index."""
        shown = label if isinstance(label, np.generic) else repr(label)
        hint = ""
        if not isinstance(label, str | bytes) and label_name(label) == "":
            hint = " A label is missing: leave out its row."
        elif not isinstance(label, str) and label_name(label) in self.label_names:
            hint = f" Integers are indices; give the name as a string: {label_name(label)!r}."
        return ValueError(
            f"Labels must be names in {self._listed}, or their indices, integers from "
            f"0 to {len(self.label_names) - 1}. Received: {shown}{where}.{hint}"
        )


def without_column(y: Any) -> Any:
    """Return a column `(N, 1)` as `(N,)`: the metrics of a model must not be called with both."""
    return y[:, 0] if len(y.shape) == 2 and y.shape[1] == 1 else y


def in_label_order(y: Any, label_names: Sequence[str]) -> Any:
    """Return a table with a column for each label as an array, with columns in the order of labels.

    Args:
        y: A data frame `(N, C)` whose columns are named after the labels, in any order, or are
            numbered; anything else is returned unchanged.
        label_names: The names of the labels.

    Raises:
        ValueError: The columns have other names.

    Example:

    >>> import pandas
    >>> in_label_order(pandas.get_dummies(["soup", "goal"], dtype=int), ("soup", "goal"))
    array([[1, 0],
           [0, 1]])
    """
    columns = list(getattr(y, "columns", ()))
    if len(columns) < 2 or not hasattr(y, "to_numpy"):
        return y
    names = [label_name(column) for column in columns]
    wanted = [label_name(name) for name in label_names]
    if sorted(names) != sorted(wanted):
        if columns == list(range(len(columns))):
            return y.to_numpy()
        raise ValueError(
            "A table of labels must have a column for each label, named after it: "
            f"({listed(label_names, 'labels')}). Received: columns "
            f"({listed(list(map(str, columns)), 'columns')})."
        )
    return y.to_numpy()[:, [names.index(name) for name in wanted]]


def normalize_label_names(label_names: Any) -> tuple[str, ...]:
    """Return label names as a tuple of different strings.

    Args:
        label_names: Strings; whole numbers from 0 on in their order, which become `"0"`, `"1"`,
            ...; or False and True, which become `"false"` and `"true"`. A list, a tuple, an array
            such as `np.unique` returns, or a column of pandas.

    Raises:
        ValueError: `label_names` holds other values, or a name twice.

    Example:

    >>> normalize_label_names(np.unique(["dog", "cat", "dog"]))
    ('cat', 'dog')
    >>> normalize_label_names(np.unique([0.0, 1.0, 1.0]))
    ('0', '1')
    """
    received = f"Received: {_shown(label_names)}."
    if isinstance(label_names, str | bytes | set | frozenset | dict):
        raise ValueError(f"`label_names` must be a list of different names. {received}")
    values = label_names.tolist() if hasattr(label_names, "tolist") else list(label_names)
    names = [name.decode() if isinstance(name, bytes) else name for name in values]
    if names and all(isinstance(name, int | float | np.number) for name in names):
        # As indices, for numbers that are labels are indices; False and True are 0 and 1.
        if names != list(range(len(names))):
            raise ValueError(
                "`label_names` that are numbers must be 0, 1, 2, ... in this order, for integer "
                f"labels are indices. {received} Convert names and labels into strings."
            )
        names = list(map(label_name, names))
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"`label_names` must be strings. {received}")
    if len(set(names)) != len(names):
        raise ValueError(f"`label_names` must be a list of different names. {received}")
    return tuple(map(str, names))


def check_label_names(task: str, label_names: Any, outputs: int) -> tuple[str, ...]:
    """Return label names as a tuple of different strings, one for each output of a network.

    Raises:
        ValueError: They are not that, see `normalize_label_names`.
    """
    names = normalize_label_names(label_names)
    if outputs != len(names):
        raise ValueError(
            f"{task} needs one name for each output of the network. Received: "
            f"{counted(len(names), 'name')} for {counted(outputs, 'output')}."
        )
    return names


def _shown(label_names: Any) -> str:
    """Return what was passed as label names for a message; a long list is cut."""
    if isinstance(label_names, list | tuple) and len(label_names) > MAX_LISTED:
        return listed(label_names, "labels")
    return repr(label_names)
