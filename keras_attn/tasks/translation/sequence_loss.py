"""Loss and accuracy of predicted tokens, padding left out."""

from typing import Any

import keras
from keras import ops

from keras_attn._token_ids import PADDING_ID
from keras_attn._types import Tensor


@keras.saving.register_keras_serializable(package="keras_attn")
class SequenceCrossentropy(keras.losses.Loss):
    """Mean cross-entropy in nats of the tokens that are no padding, from logits.

    Args:
        label_smoothing: share of the target that is spread over all tokens (Szegedy et al.,
            arXiv:1512.00567), in [0, 1).
        name: see `keras.losses.Loss`.

    Call arguments:
        y_true: ids `(B, T)`; 0 is padding, and counts nothing.
        y_pred: logits `(B, T, V)`.

    Returns:
        A float32 scalar; 0 where all is padding.

    Example:

    >>> import numpy as np
    >>> loss = SequenceCrossentropy()
    >>> round(float(loss(np.array([[3, 0]]), np.zeros((1, 2, 4), "float32"))), 4)  # log(4)
    1.3863
    """

    def __init__(
        self, label_smoothing: float = 0.0, name: str = "sequence_crossentropy", **_: Any
    ) -> None:
        super().__init__(name=name, reduction=None)
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing!r}.")
        self.label_smoothing = label_smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        real, losses = token_losses(y_true, y_pred, self.label_smoothing)
        return ops.sum(losses) / ops.maximum(ops.sum(real), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "name": self.name}


@keras.saving.register_keras_serializable(package="keras_attn")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the tokens that are no padding whose id has the greatest logit.

    Example:

    >>> import numpy as np
    >>> accuracy = TokenAccuracy()
    >>> accuracy.update_state(np.array([[1, 2, 0]]), np.array([[[0, 9, 0], [9, 0, 0], [9, 0, 0]]]))
    >>> float(accuracy.result())
    0.5
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        real = ops.not_equal(y_true, PADDING_ID)
        right = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), ops.cast(y_true, "int32"))
        # In one axis: of several, Keras counts rows, and tokens of long batches count less.
        right, real = (ops.cast(ops.reshape(x, (-1,)), "float32") for x in (right, real))
        super().update_state(right, sample_weight=real)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def divergence_of_copies(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """How far two answers to each row are apart: a float32 scalar in nats.

    The mean over tokens that are no padding of the Kullback-Leibler divergences of the one
    from the other and of the other from the one (R-Drop, Liang et al., arXiv:2106.14448).

    Args:
        y_true: ids `(2 * B, T)`, of which 0 is padding; rows `2 * n` and `2 * n + 1` are the
            same.
        y_pred: logits `(2 * B, T, V)` of them, which dropout made different.
    """
    real = ops.cast(ops.not_equal(y_true, PADDING_ID), "float32")[::2]
    logs = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
    one, other = logs[::2], logs[1::2]
    apart = ops.sum((ops.exp(one) - ops.exp(other)) * (one - other), axis=-1) / 2
    return ops.sum(real * apart) / ops.maximum(ops.sum(real), 1.0)


def token_losses(
    y_true: Tensor, y_pred: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Which tokens count, 1 or 0, and what each loses: two float32 tensors `(B, T)`."""
    y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
    real = ops.cast(ops.not_equal(y_true, PADDING_ID), "float32")
    size = y_pred.shape[-1]
    targets = ops.one_hot(y_true, size, dtype="float32")  # one fused operation takes them
    targets = targets * (1.0 - label_smoothing) + label_smoothing / size
    return real, real * ops.categorical_crossentropy(targets, y_pred, from_logits=True)
