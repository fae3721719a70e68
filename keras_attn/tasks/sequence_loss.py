"""Loss and accuracy of predicted tokens, with padding masked out."""

import threading
from typing import Any

import keras
from keras import ops

from keras_attn._token_ids import PADDING_ID
from keras_attn._types import Tensor
from keras_attn.layers._tied_embedding import TiedEmbedding
from keras_attn.ops._matmul import argmax
from keras_attn.ops.layout import reshape


@keras.saving.register_keras_serializable(package="keras_attn")
class SequenceCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits in nats, averaged over the tokens that are not padding.

    Args:
        label_smoothing: Share of the target probability that is distributed over all tokens
            (Szegedy et al., arXiv:1512.00567), in [0, 1).
        name: See `keras.losses.Loss`.
        reduction: None, because the loss is a mean over tokens, not over rows.
        dtype: None or `"float32"`, the dtype of the loss.

    Raises:
        ValueError: An argument is something else.

    Call arguments:
        y_true: Ids `(B, T)`. Id 0 is padding, and is ignored.
        y_pred: Logits `(B, T, V)`.
        sample_weight: Weights of rows `(B,)` or of tokens `(B, T)`; the mean is then the sum of
            the weighted losses over the sum of the weights.

    Returns:
        A float32 scalar; 0 if all tokens are padding.

    Example:

    >>> import numpy as np
    >>> loss = SequenceCrossentropy()
    >>> round(float(loss(np.array([[3, 0]]), np.zeros((1, 2, 4), "float32"))), 4)  # log(4)
    1.3863
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        name: str = "sequence_crossentropy",
        reduction: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=None)
        if reduction not in (None, "none"):
            raise ValueError(
                "`reduction` must be None: the loss is a mean over tokens already. Received: "
                f"{reduction!r}. Leave it out."
            )
        if dtype is not None and keras.dtype_policies.get(dtype).compute_dtype != "float32":
            raise ValueError(
                f"`dtype` must be None or 'float32', the dtype of the loss. Received: {dtype!r}. "
                "Leave it out."
            )
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing!r}.")
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        # Keras multiplies what `call` returns by the weights, and that is a mean already.
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        _, losses = token_losses(y_true, y_pred, self.label_smoothing)
        weights = token_weights(y_true, sample_weight)
        return _divide(ops.sum(weights * losses), ops.sum(weights))

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "name": self.name}


class TiedCrossentropy(SequenceCrossentropy):
    """`SequenceCrossentropy` of the states that a `TiedEmbedding` maps to logits.

    The logits are never all in memory. Training uses it; it is not serialized.

    Args:
        embedding: The `TiedEmbedding`.
        accuracy: Metric that each call updates, because nothing else has the predictions.
        crossentropy: Another one, without label smoothing; it needs `label_smoothing` 0.
        label_smoothing: See `SequenceCrossentropy`.
        r_drop: Weight of `divergence_of_copies`, which is added to the loss in training.

    Call arguments:
        y_true: Ids `(B, T)`. Id 0 is padding, and is ignored.
        y_pred: States `(B, T, D)`.
        sample_weight: See `SequenceCrossentropy`.
    """

    def __init__(
        self,
        embedding: TiedEmbedding,
        accuracy: "TokenAccuracy",
        label_smoothing: float = 0.0,
        r_drop: float = 0.0,
        crossentropy: "TokenCrossentropy | None" = None,
    ) -> None:
        super().__init__(label_smoothing)
        if crossentropy is not None and (label_smoothing or r_drop):
            raise ValueError("`crossentropy` needs `label_smoothing` and `r_drop` of 0.")
        self.crossentropy = crossentropy
        self.embedding, self.accuracy, self.r_drop = embedding, accuracy, r_drop
        # TensorFlow traces replicas in threads that alternate in a step.
        self._traced = threading.local()

    @property
    def training(self) -> bool:
        """Whether the next call in this thread is that of a training step."""
        return getattr(self._traced, "training", True)

    @training.setter
    def training(self, value: bool) -> None:
        self._traced.training = value

    def call(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        weights = token_weights(y_true, sample_weight)
        r_drop = self.r_drop if self.training else 0.0
        if r_drop:  # (2 B, T, ...) to (B, T, 2, ...): the copies of a token are adjacent
            y_pred, y_true, weights = map(_pair_copies, (y_pred, y_true, weights))
        total, predicted = self.embedding.crossentropy(
            y_pred,
            y_true,
            weights,
            label_smoothing=self.label_smoothing,
            divergence_weight=r_drop,
            differentiable=self.training,
        )
        self.accuracy.update_predicted(predicted, y_true, weights)
        size = ops.sum(weights)
        mean = _divide(total, size)
        if self.crossentropy is not None:
            self.crossentropy.update_mean(mean, size)
        return mean


@keras.saving.register_keras_serializable(package="keras_attn")
class TokenAccuracy(keras.metrics.Mean):
    """Share of tokens whose id has the greatest logit, with padding masked out.

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
        self.update_predicted(argmax(y_pred), y_true, token_weights(y_true, sample_weight))

    def update_predicted(self, predicted: Tensor, y_true: Tensor, weights: Tensor) -> None:
        """Update the state by predicted ids, ids and weights of one shape."""
        correct = ops.equal(ops.cast(predicted, "int32"), ops.cast(y_true, "int32"))
        # Flatten, because Keras averages over the other axes of each row first, which would give
        # tokens of long rows less weight.
        correct, weights = (ops.cast(ops.reshape(x, (-1,)), "float32") for x in (correct, weights))
        super().update_state(correct, sample_weight=weights)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_attn")
class TokenCrossentropy(keras.metrics.Mean):
    """Cross-entropy in nats per token, with padding masked out.

    Example:

    >>> import numpy as np
    >>> crossentropy = TokenCrossentropy()
    >>> crossentropy.update_state(np.array([[3, 0]]), np.zeros((1, 2, 4), "float32"))
    >>> round(float(crossentropy.result()), 4)  # log(4)
    1.3863
    """

    def __init__(self, name: str = "crossentropy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        _, losses = token_losses(y_true, y_pred)
        weights = token_weights(y_true, sample_weight)
        super().update_state(ops.reshape(losses, (-1,)), sample_weight=ops.reshape(weights, (-1,)))

    def update_mean(self, mean: Tensor, size: Tensor) -> None:
        """Update the state by the mean of the cross-entropies of tokens, and their number."""
        super().update_state(mean, sample_weight=size)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def token_weights(y_true: Tensor, sample_weight: Any = None) -> Tensor:
    """Return the weight of each token, float32 `(B, T)`: 0 for padding, else that of its row.

    Args:
        y_true: Ids `(B, T)`, with padding 0.
        sample_weight: Weights of rows `(B,)` or `(B, 1)`, or of tokens `(B, T)`; None is 1.

    Raises:
        ValueError: `sample_weight` has another shape.
    """
    weights = ops.cast(ops.not_equal(y_true, PADDING_ID), "float32")
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(sample_weight, "float32")
    if len(sample_weight.shape) == 1:
        sample_weight = sample_weight[:, None]
    if len(sample_weight.shape) != 2:
        raise ValueError(
            "`sample_weight` must have a weight for each row, shape (B,), or for each token, "
            f"(B, T). Received: shape {tuple(sample_weight.shape)}."
        )
    return weights * sample_weight


def _divide(total: Tensor, size: Tensor) -> Tensor:
    """Return `total / size`, or 0 where the size is 0. Weights may be small, and sum to below 1."""
    return ops.where(size > 0.0, total / ops.where(size > 0.0, size, 1.0), 0.0)


def _pair_copies(x: Tensor) -> Tensor:
    """Return `(B, T, 2, ...)` of `(2 * B, T, ...)`, whose rows alternate between two copies."""
    x = reshape(x, (-1, 2, *ops.shape(x)[1:]))
    return ops.transpose(x, (0, 2, 1, *range(3, len(x.shape))))


def divergence_of_copies(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return the divergence of R-Drop (Liang et al., arXiv:2106.14448) between copies of rows.

    It is the average of the two Kullback-Leibler divergences between the predictions for the
    copies, averaged over the tokens that are not padding.

    Args:
        y_true: Ids `(2 * B, T)`, with padding 0. Rows `2 * n` and `2 * n + 1` are equal.
        y_pred: Logits `(2 * B, T, V)`, which differ between copies because of dropout.

    Returns:
        A float32 scalar in nats.
    """
    mask = token_weights(y_true)[::2]
    log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
    first, second = log_probabilities[::2], log_probabilities[1::2]
    divergence = ops.sum((ops.exp(first) - ops.exp(second)) * (first - second), axis=-1) / 2
    return ops.sum(mask * divergence) / ops.maximum(ops.sum(mask), 1.0)


def token_losses(
    y_true: Tensor, y_pred: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the mask of tokens that are not padding, and their losses: float32 `(B, T)`."""
    y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
    mask = token_weights(y_true)
    size = y_pred.shape[-1]
    targets = ops.one_hot(y_true, size, dtype="float32")  # for the fused operation below
    targets = targets * (1.0 - label_smoothing) + label_smoothing / size
    return mask, mask * ops.categorical_crossentropy(targets, y_pred, from_logits=True)
