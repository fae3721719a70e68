"""Greedy longest-match segmentation in a TensorFlow graph, for all characters of a batch at once.

From each position, a walk through a trie finds the longest piece that begins there; the walks
of all positions take their steps together. Pointer jumping then finds the positions at which a
piece of the segmentation begins: after `k` rounds each pointer spans `2^k` pieces. The number
of steps is therefore the length of the longest piece, plus the logarithm of the number of
pieces in the longest word.
"""

from collections.abc import Mapping

from keras_attn._types import Tensor
from keras_attn.text._lookup import IntegerLookup

_CODE_BITS = 21  # bits of a Unicode code point
_NO_CHARACTER = (1 << _CODE_BITS) - 1


class Trie:
    """A trie of pieces, as constants that a graph can walk.

    Args:
        ids: The id of each piece, above 0.

    Attributes:
        ends: int32 tensor `(nodes,)`: the id of the piece that ends at a node, or 0.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        import tensorflow as tf

        # An edge is keyed by its parent node and its character. Node 0 is the root.
        edges: dict[int, int] = {}
        ends = [0]
        for piece, piece_id in ids.items():
            node = 0
            for character in piece:
                node = edges.setdefault(node << _CODE_BITS | ord(character), len(edges) + 1)
                if node == len(ends):
                    ends.append(0)
            ends[node] = piece_id
        self.ends = tf.constant(ends, tf.int32)
        self._edges = IntegerLookup([*edges.keys()], [*edges.values()])

    def step(self, nodes: Tensor, characters: Tensor) -> Tensor:
        """Return the children of `nodes` along `characters`; 0 where there is no such edge."""
        import tensorflow as tf

        nodes, characters = tf.cast(nodes, tf.int64), tf.cast(characters, tf.int64)
        return self._edges(nodes * (1 << _CODE_BITS) + characters)


def segment(trie: Trie, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Cut words into pieces by greedy longest match.

    Args:
        trie: The pieces.
        codes: Ragged int32 `(W, None)`: the code points of each word, at least one per word.
            No piece may match across the border of two words.

    Returns:
        Two int32 tensors `(P,)` over the pieces in order: the index in `codes.values` at which
        the piece begins, and its id; 0 for a single character at which no piece begins.
    """
    import tensorflow as tf

    ids, lengths = _longest_matches(trie, codes.values)
    splits = tf.cast(codes.row_splits, tf.int32)
    total = splits[-1]
    word_end = tf.repeat(splits[1:], splits[1:] - splits[:-1])
    next_piece = tf.range(total) + lengths
    next_piece = tf.where(next_piece < word_end, next_piece, total)
    is_reached = _reachable(tf.concat([next_piece, total[None]], 0), splits[:-1])
    places = tf.cast(tf.where(is_reached[:-1] > 0)[:, 0], tf.int32)
    return places, tf.gather(ids, places)


def _longest_matches(trie: Trie, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the id and the length of the longest piece at each position; without one, 0 and 1.

    Args:
        trie: The pieces.
        codes: int32 `(C,)`.

    Returns:
        Two int32 tensors `(C,)`.
    """
    import tensorflow as tf

    total = tf.size(codes)
    # Walks may read beyond the last character.
    extended = tf.concat([codes, [_NO_CHARACTER]], 0)

    def step(
        length: Tensor, starts: Tensor, nodes: Tensor, ids: Tensor, lengths: Tensor
    ) -> tuple[Tensor, ...]:
        nodes = trie.step(nodes, tf.gather(extended, starts + length))
        alive = tf.where(nodes > 0)[:, 0]
        starts, nodes = tf.gather(starts, alive), tf.gather(nodes, alive)
        ids_here = tf.gather(trie.ends, nodes)
        matches = tf.where(ids_here > 0)[:, 0]
        where = tf.gather(starts, matches)[:, None]
        ids = tf.tensor_scatter_nd_update(ids, where, tf.gather(ids_here, matches))
        longer = tf.fill(tf.shape(matches), length + 1)
        return length + 1, starts, nodes, ids, tf.tensor_scatter_nd_update(lengths, where, longer)

    vector = tf.TensorShape([None])
    _, _, _, ids, lengths = tf.while_loop(
        lambda length, starts, *_: tf.size(starts) > 0,
        step,
        [
            tf.constant(0),
            tf.range(total),
            tf.zeros([total], tf.int32),
            tf.zeros([total], tf.int32),
            tf.ones([total], tf.int32),
        ],
        shape_invariants=[tf.TensorShape([]), vector, vector, vector, vector],
    )
    return ids, lengths


def _reachable(pointers: Tensor, starts: Tensor) -> Tensor:
    """Mark the positions that following `pointers` from `starts` passes through.

    Args:
        pointers: int32 `(C + 1,)`: the next position of each position. The last one is the
            end and points to itself.
        starts: int32 `(W,)`.

    Returns:
        int32 `(C + 1,)`, 1 at marked positions and 0 elsewhere.
    """
    import tensorflow as tf

    end = tf.size(pointers) - 1
    marks = tf.scatter_nd(starts[:, None], tf.ones_like(starts), tf.shape(pointers))

    def jump(pointers: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
        marks = tf.tensor_scatter_nd_max(marks, pointers[:, None], marks)
        return tf.gather(pointers, pointers), marks

    vector = tf.TensorShape([None])
    _, marks = tf.while_loop(
        lambda pointers, _: tf.reduce_any(pointers < end),
        jump,
        [pointers, marks],
        shape_invariants=[vector, vector],
    )
    return marks


def encode_utf8(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Encode code points in UTF-8.

    Args:
        codes: int32 `(P,)`.

    Returns:
        int32 `(P, 4)`, the bytes, and int32 `(P,)`, how many of the four belong to the code
        point.
    """
    import tensorflow as tf

    counts = 1 + sum(tf.cast(codes >= first, tf.int32) for first in (0x80, 0x800, 0x10000))
    shifts = 6 * tf.maximum(counts[:, None] - 1 - tf.range(4)[None, :], 0)
    shifted = tf.bitwise.right_shift(codes[:, None], shifts)
    leading = shifted[:, :1] + tf.gather([0, 0xC0, 0xE0, 0xF0], counts - 1)[:, None]
    continuation = tf.bitwise.bitwise_and(shifted[:, 1:], 0x3F) + 0x80
    return tf.concat([leading, continuation], axis=1), counts
