"""What the text models share: their input, a bag of n-grams, and the way to the logits."""

from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt, MinLen
from keras import ops

from keras_attn.layers import AttentionPooling, BranchMean, NGramEmbedding

Tensor = Any
Sizes = Annotated[tuple[Annotated[int, Gt(2)], ...], MinLen(1)]
Rate = Annotated[float, Ge(0), Lt(1)]

UNKNOWN = 1  # the id of what is not in a vocabulary; 0 is padding, or no n-gram at all
BAG_GAIN = 3.0  # of the features that a bag beside a network learns, for Adam
BAG_DIM = 3  # their number, besides those that are added to the ratios
VOTE = 5.0  # what pooled log-count ratios count at first
ENOUGH = 64  # n-grams; an average over fewer is worth less


def check_orders(sizes: tuple[int, ...], frequent: tuple[int, ...] | None) -> None:
    """Refuse sizes of n-grams that do not fit one another."""
    if frequent is not None and len(sizes) != len(frequent):
        raise ValueError(
            "`vocabulary_sizes` and `frequent_sizes` must have one value an order of n-grams. "
            f"Received: {sizes} and {frequent}."
        )


class TextInput:
    """The input of a network that reads a text word by word, with a bag of n-grams beside it.

    Args:
        sizes: number of ids of each order of n-grams, `V_g`.
        frequent: number of ids of each order that the network reads, the most frequent
            n-grams; None is all. The bag reads all in any case.
        embedding_dim: features of a word that are learned, `D`.
        num_classes: number of classes, `C`.
        bag: whether there is to be a bag.

    Attributes:
        ids: the input `(B, T, G)`.
        real: the padding mask `(B, T)`, True where there is a word.
        features: what the network reads `(B, T, D + G * C)`: the learned features of each
            word, and the log-count ratios of the n-grams that it begins.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        frequent: tuple[int, ...] | None,
        embedding_dim: int,
        num_classes: int,
        bag: bool,
    ) -> None:
        self.num_classes, self.bag, orders = num_classes, bag, len(sizes)
        self.ids = keras.Input((None, orders), dtype="int32", name="ids")
        self.real = self.ids[:, :, 0] != 0
        learned = num_classes + BAG_DIM if bag else 0
        embedding = ratio_embedding(sizes, learned, num_classes, BAG_GAIN)
        of_ngrams = keras.layers.Reshape((-1, orders, num_classes + learned), name="by_order")
        self._ngrams = of_ngrams(embedding(self.ids))
        self._own = embedding.without_folds(self.ids)
        limits = [min(pair) for pair in zip(sizes, frequent or sizes, strict=True)]
        known = [
            ops.where(self._own[:, :, order] < limit, self._own[:, :, order], UNKNOWN)
            for order, limit in enumerate(limits)
        ]
        start = keras.initializers.RandomNormal(stddev=0.1)
        words = NGramEmbedding(
            limits[:1], (embedding_dim,), embeddings_initializer=start, name="words"
        )(known[0][:, :, None])
        read = ops.cast(ops.stack(known, axis=-1) > UNKNOWN, words.dtype)[..., None]
        ratios = self._ngrams[..., :num_classes] * read
        flat = keras.layers.Reshape((-1, orders * num_classes), name="ratios")(ratios)
        self.features = keras.layers.Concatenate(name="features")([words, flat])

    def logits(self, pooled: Tensor, attention: str, dropout: float) -> Tensor:
        """Logits `(B, C)` from the network's pooled states, and the bag's if there is one."""
        if dropout:
            pooled = keras.layers.Dropout(dropout, name="dropout")(pooled)
        logits = keras.layers.Dense(self.num_classes, dtype="float32", name="logits")(pooled)
        if not self.bag:
            return logits
        both = ops.stack([logits, self._votes(attention)], axis=1)
        return BranchMean(dtype="float32", name="branches")(both)

    def _votes(self, attention: str) -> Tensor:
        """The logits of the bag, in which each n-gram counts once."""
        shape = (-1, self.num_classes + BAG_DIM)
        ngrams = keras.layers.Reshape(shape, name="bag")(adjusted(self._ngrams, self.num_classes))
        first = keras.layers.Flatten(name="first")(first_occurrences(self._own))
        uniform = attention == "none"
        pooled = AttentionPooling(
            key_dim=8,
            score="uniform" if uniform else "scaled_dot",
            project_values=False,
            normalizer="softmax" if uniform else attention,
            name="bag_pool" if uniform else "bag_attention",
        )(ngrams, padding_mask=first)
        return votes(pooled, first, self.num_classes, VOTE, "bag_logits")


def ratio_embedding(
    sizes: tuple[int, ...], learned: int, num_classes: int, gain: float
) -> NGramEmbedding:
    """The layer `"ngrams"`: each n-gram's log-count ratios, and some features that it learns.

    Of these the first are there to be added to the ratios, see `adjusted`, and start at 0.
    """
    return NGramEmbedding(
        sizes,
        (learned,) * len(sizes),
        gain,
        num_ratios=num_classes,
        embeddings_initializer=Adjustments(num_classes, 0.1 / gain),
        name="ngrams",
    )


def adjusted(ngrams: Tensor, num_classes: int) -> Tensor:
    """Ratios and learned features `(..., C + C + D)` to `(..., C + D)`: the sums, and the rest."""
    ratios, learned = ngrams[..., :num_classes], ngrams[..., num_classes:]
    sums = ratios + learned[..., :num_classes]
    return ops.concatenate([sums, learned[..., num_classes:]], axis=-1)


@keras.saving.register_keras_serializable(package="keras_attn")
class Adjustments(keras.initializers.Initializer):
    """Zeros in the first columns of a table, and numbers that are drawn in the others.

    Args:
        zeros: number of columns.
        stddev: standard deviation of the others.
    """

    def __init__(self, zeros: int, stddev: float) -> None:
        self.zeros, self.stddev = zeros, stddev

    def __call__(self, shape: tuple[int, int], dtype: Any = None) -> Tensor:
        rows, columns = shape
        zeros = min(self.zeros, columns)
        drawn = keras.random.normal((rows, columns - zeros), stddev=self.stddev, dtype=dtype)
        return ops.concatenate([ops.zeros((rows, zeros), dtype), drawn], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"zeros": self.zeros, "stddev": self.stddev}


def votes(pooled: Tensor, counted: Tensor, num_classes: int, gain: float, name: str) -> Tensor:
    """Logits `(B, C)` from an average over n-grams, whose first features vote for the classes.

    An average over a few n-grams is large by chance. Over fewer than `ENOUGH` it counts as
    if the others were there and said nothing; a film review has more.

    Args:
        pooled: the averages `(B, D)`.
        counted: boolean `(B, S)`, what they are over.
        num_classes: number of classes, `C`.
        gain: what a vote counts at first.
        name: name of the layer.
    """
    number = ops.sum(ops.cast(counted, "float32"), axis=1, keepdims=True)
    share = ops.cast(ops.minimum(number / ENOUGH, 1.0), pooled.dtype)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.Identity(gain),
        dtype="float32",
        name=name,
    )(pooled * share)


def first_occurrences(ids: Tensor) -> Tensor:
    """Whether a known n-gram has not stood before in its row: `(B, T, G)` to the same."""
    position = ops.cumsum(ops.ones_like(ids[:, :, 0]), axis=1)
    earlier = position[:, None, :] < position[:, :, None]
    columns = [ids[:, :, order] for order in range(ids.shape[-1])]
    again = [
        ops.any(
            ops.logical_and(ops.equal(column[:, :, None], column[:, None, :]), earlier), axis=-1
        )
        for column in columns
    ]
    return ops.logical_and(ids > UNKNOWN, ops.logical_not(ops.stack(again, axis=-1)))


def thinned(x: Tensor, dropout: float, word_dropout: float) -> Tensor:
    """Features `(B, T, D)` of which single ones, and whole words, are dropped in training."""
    if dropout:
        x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    if word_dropout:
        whole = (None, None, 1)
        x = keras.layers.Dropout(word_dropout, noise_shape=whole, name="word_dropout")(x)
    return x
