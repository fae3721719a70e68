"""What a model offers to decoding."""

from typing import Any, Protocol

import keras
from keras import ops

Tensor = Any
State = Any  # nested dicts, lists and tuples of tensors


class StepModel(Protocol):
    """A model that goes on with `num_beams` token sequences of every row, step by step.

    What it has to remember between steps is its state: nested dicts, lists and tuples of
    tensors, at least one, all with the batch on axis 0, and of the same shapes and dtypes
    after a step as before it. Beams are an axis of their own: tokens are `(B, K)`.

    Example:

    >>> class Countdown:
    ...     '''Likes the token one below the last; its state is nothing but the batch.'''
    ...
    ...     def start(self, source, num_beams, length):
    ...         return {"first": ops.convert_to_tensor(source, "int32")}
    ...
    ...     def step(self, ids, state, index):
    ...         last = ops.where(index == 0, state["first"][:, None] + 1, ids)
    ...         return 5.0 * ops.one_hot(last - 1, 8), state
    ...
    ...     def reorder(self, state, parents):
    ...         return state
    >>> from keras_attn.decoding import greedy
    >>> found = greedy(Countdown(), [4, 6], max_length=6, start_id=0, end_id=1)
    >>> ops.convert_to_numpy(found.ids)[:, 0].tolist()
    [[4, 3, 2, 1, 0, 0, 0], [6, 5, 4, 3, 2, 1, 0]]
    """

    def start(self, source: Any, num_beams: int, length: int | Tensor) -> State:
        """The state before the first step.

        Args:
            source: what is decoded from, as the caller of decoding passed it.
            num_beams: K, the number of sequences of every row.
            length: number of positions that will be stepped through at most, the start
                token's among them: what a cache must hold.
        """

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """One step.

        Args:
            ids: int32 `(B, K)`, the last token of every beam.
            state: as `start`, the previous step or `reorder` returned it.
            index: int32 scalar, the position of `ids`; the start token's is 0.

        Returns:
            Logits of the next token `(B, K, V)` of any float dtype, and the state.
        """

    def reorder(self, state: State, parents: Tensor) -> State:
        """The state, where beam `k` of row `b` goes on from beam `parents[b, k]`.

        `gather_beams` does it for tensors `(B, K, ...)`. A large cache need not move: it
        can keep a slot for every beam and step, and reorder a mask of who sees which.
        """


def gather_beams(tensors: Any, parents: Tensor) -> Any:
    """Beams by their numbers: `tensors[b, parents[b, k]]` at `[b, k]`.

    Args:
        tensors: nested dicts, lists and tuples of tensors `(B, K, ...)`.
        parents: int32 `(B, P)`; `P` need not be `K`.

    Returns:
        The same structure of tensors `(B, P, ...)`.

    Example:

    >>> x = ops.convert_to_tensor([[10, 11, 12], [20, 21, 22]])
    >>> ops.convert_to_numpy(gather_beams({"x": x}, [[2, 2], [0, 1]])["x"]).tolist()
    [[12, 12], [20, 21]]
    """
    parents = ops.cast(parents, "int32")

    def gathered(x: Tensor) -> Tensor:
        batch, beams, *rest = ops.shape(x)
        rows = ops.arange(batch, dtype="int32")[:, None] * beams + parents
        return ops.take(ops.reshape(x, (batch * beams, *rest)), rows, axis=0)

    return keras.tree.map_structure(gathered, tensors)
