"""Greedy longest match in the graph, for all the characters of a batch at once.

From each position a walk through a trie finds the longest piece that begins there; all
walks take a step together. Which positions do begin a piece is then found by pointer
jumping: after `k` rounds every pointer spans `2^k` pieces. So the rounds are as many as
the longest piece has characters, and the logarithm of the longest word's pieces.
"""

from collections.abc import Mapping
from typing import Any

from keras_attn.text._lookup import IntegerLookup

Tensor = Any

_CODE_BITS = 21  # a code point has so many
_NO_CHARACTER = (1 << _CODE_BITS) - 1


class Trie:
    """Pieces as the edges and ends of a trie, which a graph can walk.

    Args:
        ids: for each piece its id, above 0.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        import tensorflow as tf

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
        """The nodes below `nodes`; 0, the root, where `characters` lead out of the trie."""
        import tensorflow as tf

        nodes, characters = tf.cast(nodes, tf.int64), tf.cast(characters, tf.int64)
        return self._edges(nodes * (1 << _CODE_BITS) + characters)


def segment(trie: Trie, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The pieces of words by greedy longest match.

    Args:
        trie: the pieces.
        codes: ragged int32 `(W, None)`, the characters of each word, at least one. No
            piece may fit across two words.

    Returns:
        Two tensors `(P,)` over the pieces in order: the place among `codes.values` where
        it begins, and its id; 0 for a single character that begins no piece.
    """
    import tensorflow as tf

    ids, lengths = _longest_matches(trie, codes.values)
    splits = tf.cast(codes.row_splits, tf.int32)
    total = splits[-1]
    word_end = tf.repeat(splits[1:], splits[1:] - splits[:-1])
    following = tf.range(total) + lengths
    following = tf.where(following < word_end, following, total)
    begins = _reachable(tf.concat([following, total[None]], 0), splits[:-1])
    places = tf.cast(tf.where(begins[:-1] > 0)[:, 0], tf.int32)
    return places, tf.gather(ids, places)


def _longest_matches(trie: Trie, codes: Tensor) -> tuple[Tensor, Tensor]:
    """For each position the id and length of its longest piece; 0 and 1 without one."""
    import tensorflow as tf

    total = tf.size(codes)
    padded = tf.concat([codes, [_NO_CHARACTER]], 0)

    def step(
        length: Tensor, starts: Tensor, nodes: Tensor, ids: Tensor, lengths: Tensor
    ) -> tuple[Tensor, ...]:
        nodes = trie.step(nodes, tf.gather(padded, starts + length))
        alive = tf.where(nodes > 0)[:, 0]
        starts, nodes = tf.gather(starts, alive), tf.gather(nodes, alive)
        found = tf.gather(trie.ends, nodes)
        hits = tf.where(found > 0)[:, 0]
        where = tf.gather(starts, hits)[:, None]
        ids = tf.tensor_scatter_nd_update(ids, where, tf.gather(found, hits))
        longer = tf.fill(tf.shape(hits), length + 1)
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
    """1 where following `pointers` from `starts` leads, else 0; the last place is the end."""
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


def utf8(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The UTF-8 bytes of code points: int32 `(P, 4)`, and how many of them count, `(P,)`."""
    import tensorflow as tf

    counts = 1 + sum(tf.cast(codes >= first, tf.int32) for first in (0x80, 0x800, 0x10000))
    shifts = 6 * tf.maximum(counts[:, None] - 1 - tf.range(4)[None, :], 0)
    shifted = tf.bitwise.right_shift(codes[:, None], shifts)
    leading = shifted[:, :1] + tf.gather([0, 0xC0, 0xE0, 0xF0], counts - 1)[:, None]
    following = tf.bitwise.bitwise_and(shifted[:, 1:], 0x3F) + 0x80
    return tf.concat([leading, following], axis=1), counts
