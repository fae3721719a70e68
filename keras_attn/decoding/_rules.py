"""Which tokens may follow, when a row must end, and what a hypothesis is worth."""

import dataclasses
from typing import Any, Self

import keras
from keras import ops

from keras_attn._validation import check_positive_integer
from keras_attn.decoding._top_k import stable_top_k, top_k
from keras_attn.ops import gather_beams

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
    def given(self) -> dict[str, Tensor]:
        """What is given of each row."""
        given = {"limits": self.limits}
        return given if self.forced is None else {**given, "forced": self.forced}

    def of_rows(self, given: dict[str, Tensor]) -> Self:
        """The same rules for other rows, of which `given` holds what is given, and perhaps more."""
        return dataclasses.replace(self, limits=given["limits"], forced=given.get("forced"))

    @property
    def batch(self) -> Any:
        return ops.shape(self.limits)[0]

    def best(self, logits: Tensor, index: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The likeliest tokens that may be chosen after position `index`.

        From logits `(B, K, V)` to int32 `(B, K, count)`, or as many as there are; the lower
        first among equals. And their float32 log-probabilities, `-inf` of what may not be
        chosen. These are the model's: what may not be chosen takes part in its softmax.
        """
        self._check(logits.shape)
        _, beams, vocabulary = logits.shape
        count = min(count, vocabulary)
        rows = ops.reshape(ops.cast(logits, "float32"), (-1, vocabulary))
        never = {self.start_id, self.padding_id}
        values, tokens = top_k(rows, min(count + len(never), vocabulary))
        top, log_top = values[:, :1], _log_probability(rows, values, tokens)
        for token in never:
            values = ops.where(tokens == token, -float("inf"), values)
        values, order = stable_top_k(values, count)  # in their order, without gaps
        tokens = gather_beams(tokens, order)

        only = ops.repeat(self._only(index), beams)[:, None]  # of rows where one may stand alone
        known = ops.clip(only, 0, vocabulary - 1)
        value = ops.where(known == only, gather_beams(rows, known), -float("inf"))
        alone = only != self.padding_id
        values = ops.where(alone, ops.where(ops.arange(count) == 0, value, -float("inf")), values)
        tokens = ops.where(alone, only, tokens)

        proper = ops.isfinite(log_top)  # not with a NaN, +inf, or nothing but -inf
        log_probabilities = ops.where(proper, values + (log_top - top), -float("inf"))
        shape = (-1, beams, count)
        return ops.reshape(tokens, shape), ops.reshape(log_probabilities, shape)

    def choices(self, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """What may be chosen after position `index`, and by how much to normalize.

        All of it, for draws: `best` excludes a few tokens without going through the others.
        From logits `(B, K, V)` to float32 logits `(B, K, V)`, `-inf` where a token may not
        be chosen, and float32 `(B, K)` to subtract for log-probabilities.
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
        free = ops.logical_and(tokens != self.start_id, tokens != self.padding_id)
        only = self._only(index)[:, None]
        return ops.where(only == self.padding_id, free, tokens == only)[:, None]

    def _only(self, index: Tensor) -> Tensor:
        """int32 `(B,)`: the one token that may be chosen; `padding_id` where any may."""
        only = self.padding_id if self.forced is None else ops.take(self.forced, index, axis=1)
        return ops.where(index >= self.limits, self.end_id, only)

    def _check(self, shape: tuple) -> None:
        if len(shape) != 3 or shape[1] is None or shape[2] is None:
            raise ValueError(
                "`model.step` must return logits of shape (batch, beams, vocabulary), the last two "
                f"known. Received: shape {tuple(shape)}."
            )
        if not 0 <= self.end_id < shape[-1] or shape[-1] < 2:
            raise ValueError(
                f"`end_id` must be a token of the model, whose logits have {shape[-1]} of them. "
                f"Received: {self.end_id}."
            )


def _log_probability(rows: Tensor, values: Tensor, tokens: Tensor) -> Tensor:
    """That of the likeliest, `(R, 1)`: of logits `(R, V)`, and the best of them in order.

    TensorFlow's softmax is one operation, and faster than the several that sum exponentials; where
    its result is largest, its logarithm loses nothing.
    """
    if keras.backend.backend() == "tensorflow":
        return ops.log(gather_beams(ops.softmax(rows, axis=-1), tokens[:, :1]))
    return values[:, :1] - ops.logsumexp(rows, axis=-1, keepdims=True)


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
        check_positive_integer(name, value)
    check_length_penalty(length_penalty)


def check_length_penalty(length_penalty: float) -> None:
    """Refuse a penalty that would favour short sequences, or is no number."""
    number = isinstance(length_penalty, int | float) and not isinstance(length_penalty, bool)
    if not (number and 0.0 <= length_penalty < float("inf")):
        raise ValueError(
            "`length_penalty` must be 0, which ranks by the log-probability alone, or a positive "
            f"number, which favours longer sequences. Received: {length_penalty!r}."
        )


def check_filters(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Refuse what no token can be drawn by."""
    if not 0.0 < temperature < float("inf"):
        raise ValueError(
            f"`temperature` must be a positive number. Received: {temperature!r}. The likeliest "
            "token at every step is what `greedy` takes."
        )
    if top_k is not None:
        check_positive_integer("top_k", top_k)
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(f"`top_p` must be a probability in (0, 1]. Received: {top_p!r}.")


def _check_rank(name: str, tensor: Tensor, rank: int, shape: str) -> None:
    if len(tensor.shape) != rank:
        raise ValueError(
            f"`{name}` must have shape {shape}. Received: shape {tuple(tensor.shape)}."
        )
