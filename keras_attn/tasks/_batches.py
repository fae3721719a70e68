"""Batches that users pass to `fit`, `evaluate` and `predict` of a task."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn._wording import counted

if TYPE_CHECKING:
    from keras_attn.tasks.task import Task


class PreprocessedBatches(keras.utils.PyDataset):
    """A `PyDataset` that preprocesses the batches of another one.

    Args:
        batches: Batches of raw inputs, or of raw inputs with targets and weights.
        task: The task that preprocesses them.
        training: Whether they are for `fit`.
    """

    def __init__(self, batches: keras.utils.PyDataset, task: "Task", training: bool) -> None:
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches, self.task, self.training = batches, task, training

    @property
    def num_batches(self) -> int | None:
        """Number of batches, or None if the data set is infinite."""
        return self.batches.num_batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        parts = as_tuple(self.batches[index])
        return self.task._preprocess_item(index, *parts, training=self.training)

    def on_epoch_begin(self) -> None:
        """Call `on_epoch_begin` of the batches."""
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Call `on_epoch_end` of the batches."""
        self.batches.on_epoch_end()


def preprocess_generator(batches: Iterator[Any], task: "Task", training: bool) -> Iterator[Any]:
    """Yield the preprocessed batches of a generator, as tuples.

    A list holds the parts of a batch, such as `[inputs, targets]`, unless it is one of texts or
    paths.
    """
    for index, batch in enumerate(batches):
        has_parts = isinstance(batch, list) and not (
            batch and isinstance(batch[0], str | bytes | os.PathLike)
        )
        parts = tuple(batch) if has_parts else as_tuple(batch)
        if len(parts) > 3:
            raise ValueError(
                "A generator must yield batches of inputs, (inputs, targets) or (inputs, targets, "
                f"weights). Received: {counted(len(parts), 'part')}."
            )
        yield as_tuple(task._preprocess_item(index, *parts, training=training))


def check_elements(parts: tuple[Any, ...], examples: str) -> None:
    """Raise ValueError unless the elements of a `tf.data.Dataset` can be preprocessed.

    Args:
        parts: The parts of an element, the inputs first.
        examples: Noun for the inputs, for the message.
    """
    if isinstance(parts[0], dict):
        keys = list(parts[0])
        raise ValueError(
            f"A tf.data.Dataset must hold batches of {examples}, ({examples}, targets) or "
            f"({examples}, targets, weights). Received: dictionaries with the keys "
            f"{', '.join(map(repr, keys))}. Choose by key: dataset.map(lambda element: "
            f"(element[{keys[0]!r}], element[{keys[-1]!r}])); of tfds.load pass "
            "as_supervised=True."
        )
    if len(parts) > 3:
        raise ValueError(
            f"A tf.data.Dataset must hold batches of ({examples}, targets) or ({examples}, "
            f"targets, weights). Received: elements of {counted(len(parts), 'part')}."
        )


def with_rank(tensor: Any, rank: int) -> Any:
    """Return a tensor whose rank is known.

    The elements of `Dataset.from_generator` without an `output_signature` have no shapes. For
    them the rank is checked when a batch is read.
    """
    if tensor.shape.rank is not None:
        return tensor
    import tensorflow as tf

    return tf.ensure_shape(tensor, (None,) * rank)


def is_dataset(x: Any) -> bool:
    """Return whether `x` yields batches: a data set, a data loader or a generator."""
    if isinstance(x, keras.utils.PyDataset) or hasattr(x, "element_spec"):
        return True
    distributed = type(x).__name__ == "DistributedDataset"
    return _is_torch_loader(x) or distributed or hasattr(x, "__next__")


def refuse_torch_loader(x: Any, task: str) -> None:
    """Raise TypeError for a data loader of torch, whose batches would not be preprocessed.

    Args:
        x: The argument `x` of `fit`, `evaluate` or `predict`, or validation data.
        task: Name of the model's class, for the message.
    """
    if _is_torch_loader(x):
        raise TypeError(
            f"{task} takes arrays, lists, tf.data.Dataset, keras.utils.PyDataset and generators. "
            f"Received: {type(x).__name__} of torch. Pass a generator of its batches, (batch for _ "
            "in range(epochs) for batch in loader), with steps_per_epoch=len(loader)."
        )


def _is_torch_loader(x: Any) -> bool:
    return type(x).__module__.startswith("torch.utils.data")


def as_tuple(x: Any) -> tuple[Any, ...]:
    """Return tuples unchanged, and wrap any other value in a tuple of one element."""
    return x if isinstance(x, tuple) else (x,)


def alternate_lengths(ids: np.ndarray, index: int) -> np.ndarray:
    """Pad ids `(B, T, ...)` to an even length in batches of even index, an odd one in others.

    Keras takes all batches of a `PyDataset` to be as long as the first two, if these are equally
    long.

    Example:

    >>> [alternate_lengths(np.ones((1, 3)), index).shape for index in (0, 1)]
    [(1, 4), (1, 3)]
    """
    missing = (ids.shape[1] + index) % 2
    return np.pad(ids, [(0, missing if axis == 1 else 0) for axis in range(ids.ndim)])


def check_first_batch(model: keras.Model, examples: int, batch_size: int | None) -> None:
    """Raise ValueError if replicas cannot share the first batch of `fit` equally.

    Keras builds the variables of the optimizer from the first batch, and fails there with a
    message about `AddN`.

    Args:
        model: The model that is trained.
        examples: Number of training examples, without those for validation.
        batch_size: Examples per step; None is 32.
    """
    if keras.backend.backend() != "tensorflow":
        return
    replicas = model.distribute_strategy.num_replicas_in_sync
    first = min(32 if batch_size is None else batch_size, examples)
    if first % replicas:
        raise ValueError(
            f"`fit` on {counted(replicas, 'replica')} needs a first batch that they share equally. "
            f"Received: {counted(examples, 'training example')} and batch_size={batch_size}, the "
            f"first batch is {first}. "
            f"Pass a `batch_size` that is a multiple of {replicas} and at most the number of "
            "examples."
        )


def check_batched(texts: Any) -> None:
    """Raise ValueError unless a string tensor of a `tf.data.Dataset` is a batch `(B,)`."""
    if texts.shape.rank not in (None, 1):
        raise ValueError(
            "A tf.data.Dataset must hold batches of texts, string tensors (batch,). Received: "
            f"elements of shape {texts.shape}. Call dataset.batch(32) first."
        )
