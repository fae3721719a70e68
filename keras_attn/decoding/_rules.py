"""Rules of a search: which tokens are allowed, when a row must end, how hypotheses score."""

import dataclasses
from typing import Any, Self

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.decoding._top_k import stable_top_k, top_k
from keras_attn.decoding.restrictions import Restrictions, States
from keras_attn.ops import gather_beams

Constraints = dict[str, Tensor]  # see `Rules.constraints`


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of one search.

    Attributes:
        length: largest number of tokens of a hypothesis with its end token, `max_length + 1`;
            a tensor if `max_length` is one.
        start_id, end_id, padding_id, length_penalty: see `beam_search`.
        limits: int32 `(B,)`, largest number of tokens before the end token of each row.
        forced: int32 `(B, length)`, the token required at each position, `padding_id` where any
            is allowed; None without a prefix.
        restrictions: tokens that depend on those before them. Required tokens are exempt.
        score_last_end: see `beam_search`.
    """

    length: int | Tensor
    start_id: int
    end_id: int
    padding_id: int
    length_penalty: float
    limits: Tensor
    forced: Tensor | None
    restrictions: Restrictions = dataclasses.field(default_factory=Restrictions)
    score_last_end: bool = True

    @property
    def constraints(self) -> Constraints:
        """The rules that differ between rows, each with the rows on axis 0."""
        constraints = {"limits": self.limits}
        return constraints if self.forced is None else {**constraints, "forced": self.forced}

    def for_rows(self, constraints: Constraints) -> Self:
        """Return the rules for other rows, from their constraints; further keys are ignored."""
        return dataclasses.replace(
            self, limits=constraints["limits"], forced=constraints.get("forced")
        )

    @property
    def batch_size(self) -> Any:
        """The number of rows."""
        return ops.shape(self.limits)[0]

    def best(
        self, logits: Tensor, index: Tensor, count: int, ids: Tensor, states: States
    ) -> tuple[Tensor, Tensor]:
        """Return the likeliest allowed tokens after position `index`.

        Args:
            logits: float tensor `(B, K, V)`.
            index: int32 scalar.
            ids: int32 `(B, K, length)`, the sequences so far.
            states: their states, see `Restrictions`.
            count: number of tokens; fewer are returned if the vocabulary is smaller.

        Returns:
            A pair: tokens, int32 `(B, K, count)`, the lower first among equals; and their
            log-probabilities, float32 `(B, K, count)`, `-inf` for tokens that are not allowed.
            Log-probabilities are the model's: its softmax includes all tokens.
        """
        self._check_logits(logits.shape)
        _, beams, vocabulary = logits.shape
        count = min(count, vocabulary)
        rows = ops.reshape(ops.cast(logits, "float32"), (-1, vocabulary))
        excluded = {self.start_id, self.padding_id}
        banned, candidates = self._banned(ids, states, index, vocabulary), rows
        if banned is not None:
            candidates = ops.where(ops.reshape(banned, (-1, vocabulary)), -float("inf"), rows)
        values, tokens = top_k(candidates, min(count + len(excluded), vocabulary))
        if banned is None:
            log_total = values[:, :1] - _top_log_probability(rows, values, tokens)
        else:
            log_total = ops.logsumexp(rows, axis=-1, keepdims=True)
        for token in excluded:
            values = ops.where(tokens == token, -float("inf"), values)
        values, order = stable_top_k(values, count)  # moves the excluded ones to the end
        tokens = gather_beams(tokens, order)

        required = ops.repeat(self._required(index), beams)[:, None]
        in_range = ops.clip(required, 0, vocabulary - 1)
        value = ops.where(in_range == required, gather_beams(rows, in_range), -float("inf"))
        is_required = required != self.padding_id
        first_value = ops.where(ops.arange(count, dtype="int32") == 0, value, -float("inf"))
        values = ops.where(is_required, first_value, values)
        tokens = ops.where(is_required, required, tokens)

        is_finite = ops.isfinite(log_total)  # False with a NaN, +inf, or nothing but -inf
        log_probabilities = ops.where(is_finite, values - log_total, -float("inf"))
        if not self.score_last_end:
            is_last = ops.repeat(index >= self.limits, beams)[:, None]
            is_first = ops.arange(count, dtype="int32") == 0
            log_probabilities = ops.where(
                ops.logical_and(is_last, is_first), 0.0, log_probabilities
            )
        shape = (-1, beams, count)
        return ops.reshape(tokens, shape), ops.reshape(log_probabilities, shape)

    def choices(
        self, logits: Tensor, index: Tensor, ids: Tensor, states: States
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of all tokens after position `index`, for sampling.

        Args:
            logits: float tensor `(B, K, V)`.
            index: int32 scalar.
            ids: int32 `(B, K, length)`, the sequences so far.
            states: their states, see `Restrictions`.

        Returns:
            A pair: logits, float32 `(B, K, V)`, `-inf` for tokens that are not allowed; and
            their normalizer, float32 `(B, K)`, to subtract for log-probabilities.
        """
        self._check_logits(logits.shape)
        logits = ops.cast(logits, "float32")
        log_total = ops.logsumexp(logits, axis=-1)
        is_finite = ops.isfinite(log_total)  # False with a NaN, +inf, or nothing but -inf
        allowed = self._allowed(index, logits.shape[-1])
        banned = self._banned(ids, states, index, logits.shape[-1])
        if banned is not None:
            is_free = (self._required(index) == self.padding_id)[:, None, None]
            banned = ops.logical_and(banned, is_free)
            allowed = ops.logical_and(allowed, ops.logical_not(banned))
        allowed = ops.logical_and(allowed, is_finite[..., None])
        return ops.where(allowed, logits, -float("inf")), ops.where(is_finite, log_total, 0.0)

    def score(self, log_probability: Tensor, tokens: Tensor) -> Tensor:
        """Return the score of hypotheses with that many tokens, see `Hypotheses.scores`."""
        penalty = ((5.0 + ops.cast(tokens, "float32")) / 6.0) ** self.length_penalty
        return log_probability / penalty

    def write(self, sequences: Tensor, ids: Tensor, index: Tensor) -> Tensor:
        """Return `sequences` `(B, K, length)` with `ids` `(B, K)` at position `index`."""
        return ops.where(ops.arange(self.length, dtype="int32") == index, ids[..., None], sequences)

    def _allowed(self, index: Tensor, vocabulary: int) -> Tensor:
        """Return boolean `(B, 1, V)`, True for tokens that are allowed at position `index`."""
        tokens = ops.arange(vocabulary, dtype="int32")[None]
        free = ops.logical_and(tokens != self.start_id, tokens != self.padding_id)
        required = self._required(index)[:, None]
        return ops.where(required == self.padding_id, free, tokens == required)[:, None]

    def _banned(self, ids: Tensor, states: States, index: Tensor, vocabulary: int) -> Tensor | None:
        """Return the tokens that restrictions ban, bool `(B, K, V)`; None without restrictions."""
        if not self.restrictions:
            return None
        return self.restrictions.banned(ids, states, index, self.limits, self.end_id, vocabulary)

    def _required(self, index: Tensor) -> Tensor:
        """Return int32 `(B,)`, the token required at position `index`, or `padding_id`."""
        required = self.padding_id if self.forced is None else ops.take(self.forced, index, axis=1)
        return ops.where(index >= self.limits, self.end_id, required)

    def _check_logits(self, shape: tuple) -> None:
        if len(shape) != 3 or shape[1] is None or shape[2] is None:
            raise ValueError(
                "`model.step` must return logits of shape (batch, beams, vocabulary), the last two "
                f"known. Received: shape {tuple(shape)}."
            )
        if not 0 <= self.end_id < shape[-1] or shape[-1] < 2:
            raise ValueError(
                f"`end_id` must be a token of the model, whose logits have {shape[-1]} tokens. "
                f"Received: {self.end_id}."
            )


def _top_log_probability(rows: Tensor, values: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of the likeliest token, `(R, 1)`.

    TensorFlow's softmax is one operation, and faster than those of a `logsumexp`. The logarithm
    of its largest value is exact enough.

    Args:
        rows: logits `(R, V)`.
        values: the largest logits `(R, k)`, in descending order.
        tokens: their tokens, int32 `(R, k)`.
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
    restrictions: Restrictions = Restrictions(),  # noqa: B008
) -> Rules:
    """Return the rules for the rows of a state; see `beam_search` for the arguments.

    Raises:
        ValueError: `end_id` equals another id, or a tensor has a wrong shape.
    """
    if end_id in (start_id, padding_id):
        raise ValueError(
            "`end_id` must differ from `start_id` and `padding_id`, which are never generated. "
            f"Received: end_id={end_id}, start_id={start_id}, padding_id={padding_id}."
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
        is_static = isinstance(max_length, int) and prefix.shape[1] is not None
        if is_static and prefix.shape[1] > max_length:
            raise ValueError(
                f"`prefix` must have at most `max_length` = {max_length} tokens. Received: shape "
                f"{tuple(prefix.shape)}. Shorten the prefix, or increase `max_length`."
            )
        free = ops.full((batch, length), padding_id, dtype="int32")
        forced = ops.concatenate([prefix, free], axis=1)[:, :length]
        prefix_lengths = ops.sum(ops.cast(forced != padding_id, "int32"), axis=1)
        limits = ops.minimum(ops.maximum(limits, prefix_lengths), max_length)
    return Rules(length, start_id, end_id, padding_id, length_penalty, limits, forced, restrictions)


def check_arguments(max_length: int | Tensor, length_penalty: float, **counts: int) -> None:
    """Raise ValueError for arguments out of range; `counts` must be positive integers."""
    if not keras.ops.is_tensor(max_length):
        counts = {"max_length": max_length, **counts}
    for name, value in counts.items():
        check_positive_integer(name, value)
    check_length_penalty(length_penalty)


def check_length_penalty(length_penalty: float) -> None:
    """Raise ValueError unless the penalty is a number of at least 0."""
    is_number = isinstance(length_penalty, int | float) and not isinstance(length_penalty, bool)
    if not (is_number and 0.0 <= length_penalty < float("inf")):
        raise ValueError(
            "`length_penalty` must be 0, which ranks by the log-probability alone, or a positive "
            f"number, which favours longer sequences. Received: {length_penalty!r}."
        )


def check_filters(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ValueError for arguments of sampling that are out of range."""
    if not 0.0 < temperature < float("inf"):
        raise ValueError(
            f"`temperature` must be a positive number. Received: {temperature!r}. For the "
            "likeliest token at every step use `greedy`."
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
