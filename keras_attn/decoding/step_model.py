"""The interface of models that can be decoded."""

from typing import Any, Protocol

from keras_attn._types import Tensor

State = Any  # nested dicts, lists and tuples of tensors


class StepModel(Protocol):
    """A model that extends `num_beams` token sequences of each row, step by step.

    Its state between steps consists of nested dicts, lists and tuples of tensors, at least
    one, all with the batch on axis 0. Structure, shapes and dtypes stay the same in every
    step; only an axis of size 0 at the start may grow, on TensorFlow and PyTorch. Beams are an
    axis of their own: tokens are `(B, K)`.

    Example:

    >>> from keras import ops
    >>> class Countdown:
    ...     '''Prefers the token one below the last; its state is the source alone.'''
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
    >>> hypotheses = greedy(Countdown(), [4, 6], max_length=6, start_id=0, end_id=1)
    >>> ops.convert_to_numpy(hypotheses.ids)[:, 0].tolist()
    [[4, 3, 2, 1, 0, 0, 0], [6, 5, 4, 3, 2, 1, 0]]
    """

    def start(self, source: Any, num_beams: int, length: int | Tensor) -> State:
        """Return the state before the first step.

        Args:
            source: the source, as it was passed to the search.
            num_beams: number of sequences of each row, `K`.
            length: largest number of steps, the one of the start token included, which is the
                number of positions that a cache must hold.
        """

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Compute one step.

        Args:
            ids: int32 `(B, K)`, the last token of each beam.
            state: the state, as `start`, the previous step or `reorder` returned it.
            index: int32 scalar, the position of `ids`; that of the start token is 0.

        Returns:
            A pair: logits of the next token `(B, K, V)`, of any float dtype, and the state.
        """

    def reorder(self, state: State, parents: Tensor) -> State:
        """Return the state in which beam `k` of row `b` continues beam `parents[b, k]`.

        `keras_attn.ops.gather_beams` does so for tensors `(B, K, ...)`. A large cache need
        not move: it can have a slot for each beam and step, and the model reorders a mask of
        the slots that each beam attends to.

        Args:
            state: the state after a step.
            parents: int32 `(B, K)`.
        """
