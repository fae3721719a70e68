"""What a model offers to decoding."""

from typing import Any, Protocol

Tensor = Any
State = Any  # nested dicts, lists and tuples of tensors


class StepModel(Protocol):
    """A model that goes on with `num_beams` token sequences of every row, step by step.

    What it has to remember between steps is its state: nested dicts, lists and tuples of
    tensors, at least one, all with the batch on axis 0, and of the same shapes and dtypes
    after a step as before it. But for those with an axis of size 0 at the start: on TensorFlow
    and PyTorch, where a loop may carry what grows, that axis may. Beams are an axis of their
    own: tokens are `(B, K)`.

    Example:

    >>> from keras import ops
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

        `keras_attn.ops.gather_beams` does it for tensors `(B, K, ...)`. A large cache need
        not move: it can keep a slot for every beam and step, and reorder a mask of who sees
        which.
        """
