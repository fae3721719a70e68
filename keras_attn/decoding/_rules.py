"""Which tokens may follow, when a row must end, and what a hypothesis is worth."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_attn._checks import check_count

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of one search.

    Attributes:
        length: the most tokens of a hypothesis, with the end token: `max_length + 1`; a tensor
            where `max_length` is one.
        limits: int32 `(B,)`, the most tokens before the end token in every row.
        forced: int32 `(B, length)`, tokens that must stand there; `padding_id` is free.
    """

    length: int | Tensor
    start_id: int
    end_id: int
    padding_id: int
    length_penalty: float
    limits: Tensor
    forced: Tensor | None

    @property
    def batch(self) -> Any:
        return ops.shape(self.limits)[0]

    def choices(self, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """What may be chosen after position `index`, and by how much to normalize.

        From logits `(B, K, V)` to float32 logits `(B, K, V)`, `-inf` where a token may not
        be chosen, and float32 `(B, K)` to subtract for log-probabilities, which are those
        of the model: what may not be chosen takes part in its softmax.
        """
        self._check(logits.shape)
        logits = ops.cast(logits, "float32")
        log_total = ops.logsumexp(logits, axis=-1)
        proper = ops.isfinite(log_total)  # not with a NaN, +inf, or nothing but -inf
        allowed = ops.logical_and(self._allowed(index, logits.shape[-1]), proper[..., None])
        return ops.where(allowed, logits, -float("inf")), ops.where(proper, log_total, 0.0)

    def score(self, log_probability: Tensor, tokens: Tensor) -> Tensor:
        """What a hypothesis with that many tokens is ranked by."""
        penalty = ((5.0 + ops.cast(tokens, "float32")) / 6.0) ** self.length_penalty
        return log_probability / penalty

    def write(self, sequences: Tensor, ids: Tensor, index: Tensor) -> Tensor:
        """`sequences` `(B, K, length)` with `ids` `(B, K)` at position `index`."""
        return ops.where(ops.arange(self.length) == index, ids[..., None], sequences)

    def _allowed(self, index: Tensor, vocabulary: int) -> Tensor:
        """Boolean `(B, 1, V)`."""
        tokens = ops.arange(vocabulary, dtype="int32")[None]
        allowed = ops.logical_and(tokens != self.start_id, tokens != self.padding_id)
        if self.forced is not None:
            forced = ops.take(self.forced, index, axis=1)[:, None]
            allowed = ops.where(forced == self.padding_id, allowed, tokens == forced)
        at_limit = (index >= self.limits)[:, None]
        return ops.where(at_limit, tokens == self.end_id, allowed)[:, None]

    def _check(self, shape: tuple) -> None:
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                "`model.step` must return logits of shape (batch, beams, vocabulary), the last "
                f"known. Received: shape {tuple(shape)}."
            )
        if not 0 <= self.end_id < shape[-1] or shape[-1] < 2:
            raise ValueError(
                f"`end_id` must be a token of the model, whose logits have {shape[-1]} of them. "
                f"Received: {self.end_id}."
            )


def make_rules(
    state: Any,
    *,
    max_length: int | Tensor,
    start_id: int,
    end_id: int,
    padding_id: int,
    length_penalty: float,
    prefix: Tensor | None,
    row_max_length: Tensor | None,
) -> Rules:
    """The rules for the rows of a state.

    Raises:
        ValueError: the ids cannot be told apart, or a tensor has a wrong shape.
    """
    if end_id in (start_id, padding_id):
        raise ValueError(
            "`end_id` must be another token than `start_id` and `padding_id`, which are never "
            f"generated. Received: end_id={end_id}, start_id={start_id}, padding_id={padding_id}."
        )
    length = max_length + 1
    batch = ops.shape(keras.tree.flatten(state)[0])[0]
    limits = ops.full((batch,), max_length, dtype="int32")
    if row_max_length is not None:
        row_max_length = ops.cast(row_max_length, "int32")
        _check_rank("row_max_length", row_max_length, 1, "(batch,)")
        limits = ops.minimum(limits, ops.maximum(row_max_length, 0))
    forced = None
    if prefix is not None:
        prefix = ops.cast(prefix, "int32")
        _check_rank("prefix", prefix, 2, "(batch, tokens)")
        known = isinstance(max_length, int) and prefix.shape[1] is not None
        if known and prefix.shape[1] > max_length:
            raise ValueError(
                f"`prefix` must have at most `max_length` = {max_length} tokens. Received: shape "
                f"{tuple(prefix.shape)}. Cut the prefix, or raise `max_length`."
            )
        free = ops.full((batch, length), padding_id, dtype="int32")
        forced = ops.concatenate([prefix, free], axis=1)[:, :length]
        given = ops.sum(ops.cast(forced != padding_id, "int32"), axis=1)
        limits = ops.minimum(ops.maximum(limits, given), max_length)
    return Rules(length, start_id, end_id, padding_id, length_penalty, limits, forced)


def check_arguments(max_length: int | Tensor, length_penalty: float, **counts: int) -> None:
    """Refuse what no search can do; `counts` are whole numbers from 1."""
    if not keras.ops.is_tensor(max_length):
        counts = {"max_length": max_length, **counts}
    for name, value in counts.items():
        check_count(name, value)
    check_length_penalty(length_penalty)


def check_length_penalty(length_penalty: float) -> None:
    """Refuse a penalty that would favour short sequences, or is no number."""
    number = isinstance(length_penalty, int | float) and not isinstance(length_penalty, bool)
    if not (number and 0.0 <= length_penalty < float("inf")):
        raise ValueError(
            "`length_penalty` must be 0, which ranks by the log-probability alone, or a positive "
            f"number, which favours longer sequences. Received: {length_penalty!r}."
        )


def _check_rank(name: str, tensor: Tensor, rank: int, shape: str) -> None:
    if len(tensor.shape) != rank:
        raise ValueError(
            f"`{name}` must have shape {shape}. Received: shape {tuple(tensor.shape)}."
        )
