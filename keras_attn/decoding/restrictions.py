"""Restrictions of a search: minimum length, repeated n-grams, and tokens that an automaton bans."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer

States = Any  # int32 (B, K), or () without an automaton


@dataclasses.dataclass(frozen=True, eq=False)  # eq=False: hashed by identity, as a cache key
class Automaton:
    """A deterministic automaton that reads the tokens of a sequence, and bans some in each state.

    It begins in state 0, before the first token. Tokens that a prefix forces are read too, banned
    or not.

    Attributes:
        next_states: int32 `(S, V)`, the state after a token, in each of the `S` states.
        banned: bool `(S, V)`, whether a token is banned in a state. A column is that of the end
            token: a sequence must not end in a state where it is banned.

    Raises:
        ValueError: The arrays differ in shape, or a state does not exist.

    Example:

    >>> never_twice = Automaton(np.array([[0, 0, 1, 0], [0, 0, 1, 0]]), np.zeros((2, 4), bool))
    >>> never_twice.banned[1, 2] = True  # in state 1, after token 2
    """

    next_states: np.ndarray
    banned: np.ndarray

    def __post_init__(self) -> None:
        states = self.next_states
        if states.ndim != 2 or states.shape != self.banned.shape or not states.size:
            raise ValueError(
                "`next_states` and `banned` must have one shape (states, vocabulary). Received: "
                f"{states.shape} and {self.banned.shape}."
            )
        if states.min() < 0 or states.max() >= len(states):
            raise ValueError(
                f"`next_states` must be in 0..{len(states) - 1}, as there are {len(states)} "
                f"states. Received: {states.min()}..{states.max()}."
            )


@dataclasses.dataclass(frozen=True)
class Restrictions:
    """Tokens that a search must not choose, because of the tokens before them.

    Attributes:
        min_length: Smallest number of tokens before the end token.
        no_repeat_ngram_size: No n-gram of this size occurs twice in a sequence; None allows it.
        automaton: Bans tokens by the state that the sequence has led to, or None.
    """

    min_length: int = 0
    no_repeat_ngram_size: int | None = None
    automaton: Automaton | None = None

    def __bool__(self) -> bool:
        return bool(self.min_length or self.no_repeat_ngram_size or self.automaton)

    def start(self, shape: tuple) -> States:
        """Return the states of sequences without tokens."""
        return () if self.automaton is None else ops.zeros(shape, "int32")

    def advance(self, states: States, tokens: Tensor) -> States:
        """Return the states `(B, K)` after another token `(B, K)` of each sequence."""
        if self.automaton is None:
            return states
        count, vocabulary = self.automaton.next_states.shape
        table = ops.convert_to_tensor(self.automaton.next_states.reshape(-1), "int32")
        position = states * vocabulary + ops.clip(tokens, 0, vocabulary - 1)
        return ops.take(table, ops.clip(position, 0, count * vocabulary - 1))

    def banned(
        self,
        ids: Tensor,
        states: States,
        index: Tensor,
        limits: Tensor,
        end_id: int,
        vocabulary: int,
    ) -> Tensor:
        """Return the tokens that must not follow, bool `(B, K, V)`.

        Args:
            ids: int32 `(B, K, L)`, the sequences so far.
            states: Their states.
            index: Number of their tokens.
            limits: int32 `(B,)`, largest number of tokens before the end token.
            end_id: The end token.
            vocabulary: Number of tokens, `V`.
        """
        is_end = ops.arange(vocabulary, dtype="int32") == end_id
        banned = ops.broadcast_to(
            ops.logical_and(is_end, index < self.min_length), (*ops.shape(ids)[:2], vocabulary)
        )
        if self.no_repeat_ngram_size is not None:
            repeats = _completing_tokens(ids, index, self.no_repeat_ngram_size, vocabulary)
            banned = ops.logical_or(banned, ops.logical_and(repeats, ops.logical_not(is_end)))
        if self.automaton is not None:
            _check_vocabulary(self.automaton, vocabulary)
            by_state = self._by_state(states, self.automaton.banned)
            # A last token must lead to a state in which the sequence may end.
            dead_end = self.automaton.banned[self.automaton.next_states, end_id]
            dead_end[:, end_id] = False
            is_last = (index == limits - 1)[:, None, None]
            last = ops.logical_and(is_last, self._by_state(states, dead_end))
            banned = ops.logical_or(banned, ops.logical_or(by_state, last))
        return banned

    @staticmethod
    def _by_state(states: Tensor, table: np.ndarray) -> Tensor:
        return ops.take(ops.convert_to_tensor(table, "bool"), states, axis=0)


def _completing_tokens(ids: Tensor, index: Tensor, size: int, vocabulary: int) -> Tensor:
    """Return the tokens that would repeat an n-gram, bool `(B, K, V)`.

    Args:
        ids: int32 `(B, K, L)`, of which the first `index` are sequences.
        index: int32 scalar.
        size: The size of n-grams.
        vocabulary: Number of tokens.
    """
    batch, beams, length = ops.shape(ids)
    rows = ops.reshape(ids, (batch * beams, length))
    padded = ops.pad(rows, ((0, 0), (size, size)))  # so that all slices below are within
    is_match = (ops.arange(length, dtype="int32") + (size - 1) < index)[None]
    for offset in range(size - 1):
        recent = ops.take(padded, index + 1 + offset, axis=1)[:, None]
        window = padded[:, size + offset : size + offset + length]
        is_match = ops.logical_and(is_match, window == recent)
    following = padded[:, 2 * size - 1 : 2 * size - 1 + length]
    is_match = ops.broadcast_to(is_match, ops.shape(following))
    # What is no match goes into a column of its own, that is dropped.
    tokens = ops.where(is_match, following, vocabulary)
    row_ids = ops.broadcast_to(
        ops.arange(batch * beams, dtype="int32")[:, None], ops.shape(following)
    )
    places = ops.reshape(ops.stack([row_ids, tokens], axis=-1), (-1, 2))
    marks = ops.scatter_update(
        ops.zeros((batch * beams, vocabulary + 1), "int32"),
        places,
        ops.ones((batch * beams * length,), "int32"),
    )
    return ops.reshape(marks[:, :vocabulary] > 0, (batch, beams, vocabulary))


def _check_vocabulary(automaton: Automaton, vocabulary: int) -> None:
    if automaton.next_states.shape[1] != vocabulary:
        raise ValueError(
            f"`automaton` must have a column for each of the model's {vocabulary} tokens. "
            f"Received: {automaton.next_states.shape[1]} columns."
        )


def check_restrictions(min_length: Any, no_repeat_ngram_size: Any, max_length: Any = None) -> None:
    """Raise ValueError for a minimum length or an n-gram size out of range.

    Args:
        min_length: An integer of at least 0, and at most `max_length` if that is an integer.
        no_repeat_ngram_size: An integer of at least 1, or None.
        max_length: The largest length, for the comparison.
    """
    if isinstance(min_length, bool) or not isinstance(min_length, int) or min_length < 0:
        raise ValueError(
            f"`min_length` must be an integer of at least 0. Received: {min_length!r}."
        )
    if isinstance(max_length, int) and min_length > max_length:
        raise ValueError(
            f"`min_length` must be at most `max_length` = {max_length}. Received: {min_length}."
        )
    if no_repeat_ngram_size is not None:
        check_positive_integer("no_repeat_ngram_size", no_repeat_ngram_size)
