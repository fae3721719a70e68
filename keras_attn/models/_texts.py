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
VOTE = 5.0  # what the ratios that a bag pools count at first


def check_orders(sizes: tuple[int, ...], frequent: tuple[int, ...] | None) -> None:
    """Refuse sizes of n-grams that do not fit one another."""
    if frequent is not None and len(sizes) != len(frequent):
        raise ValueError(
            "`vocabulary_sizes` and `frequent_sizes` must have one value an order of n-grams. "
            f"Received: {sizes} and {frequent}. Give both, or `frequent_sizes=None` for all."
        )


class TextInput:
    """The input of a network that reads a text word by word, with a bag of n-grams beside it.

    Args:
        sizes: number of ids of each order of n-grams, `V_g`.
        frequent: number of ids of each order that the network reads, the most frequent
            n-grams; None is all. The bag reads all in any case.
        embedding_dim: features of a word that are learned, `D`.
        num_classes: number of classes.
        ratio_classes: number of classes that the log-count ratios tell apart, `C`.
        bag: whether there is to be a bag.
        enough: n-grams, see `votes`.

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
        ratio_classes: int,
        bag: bool,
        enough: int,
    ) -> None:
        self.num_classes, self.ratio_classes = num_classes, ratio_classes
        self.bag, self.enough = bag, enough
        orders = len(sizes)
        self.ids = keras.Input((None, orders), dtype="int32", name="ids")
        self.real = self.ids[:, :, 0] != 0
        learned = ratio_classes + BAG_DIM if bag else 0
        embedding = NGramEmbedding(
            sizes,
            (learned,) * orders,
            BAG_GAIN,
            num_ratios=ratio_classes,
            embeddings_initializer=Adjustments(ratio_classes, 0.1 / BAG_GAIN),
            name="ngrams",
        )
        of_ngrams = keras.layers.Reshape((-1, orders, ratio_classes + learned), name="by_order")
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
        ratios = self._ngrams[..., :ratio_classes] * read
        flat = keras.layers.Reshape((-1, orders * ratio_classes), name="ratios")(ratios)
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
        c = self.ratio_classes
        ratios, learned = self._ngrams[..., :c], self._ngrams[..., c:]
        features = ops.concatenate([ratios + learned[..., :c], learned[..., c:]], axis=-1)
        ngrams = keras.layers.Reshape((-1, c + BAG_DIM), name="bag")(features)
        counted = keras.layers.Flatten(name="once")(once(self._own))
        uniform = attention == "none"
        pooled = AttentionPooling(
            key_dim=8,
            score="uniform" if uniform else "scaled_dot",
            project_values=False,
            normalizer="softmax" if uniform else attention,
            name="bag_pool" if uniform else "bag_attention",
        )(ngrams, padding_mask=counted)
        return votes(pooled, counted, self.num_classes, c, VOTE, self.enough, "bag_logits")


@keras.saving.register_keras_serializable(package="keras_attn")
class Adjustments(keras.initializers.Initializer):
    """Zeros in the first columns, which are added to ratios, and small numbers in the others.

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


def votes(
    pooled: Tensor,
    counted: Tensor,
    num_classes: int,
    ratio_classes: int | None,
    gain: float,
    enough: int,
    name: str,
) -> Tensor:
    """Logits `(B, C)` from an average over n-grams, whose first features vote for the classes.

    An average over a few n-grams is large by chance. Over fewer than `enough` it counts as
    if the others were there and said nothing.

    Args:
        pooled: the averages `(B, D)`.
        counted: boolean `(B, S)`, what they are over.
        num_classes: number of classes, `C`.
        ratio_classes: number of the features that vote; None means `num_classes`. If it is
            another number, features do not stand for classes, and the weights start at random.
        gain: what a vote counts at first.
        enough: n-grams over which an average counts in full.
        name: name of the layer.
    """
    number = ops.sum(ops.cast(counted, "float32"), axis=1, keepdims=True)
    share = ops.cast(ops.minimum(number / enough, 1.0), pooled.dtype)
    one_vote_a_class = ratio_classes in (None, num_classes)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.Identity(gain)
        if one_vote_a_class
        else "glorot_uniform",
        dtype="float32",
        name=name,
    )(pooled * share)


def once(ids: Tensor) -> Tensor:
    """True at one place of each known n-gram in its row: `(B, T, G)` to the same shape."""
    order = ops.argsort(ids, axis=1)
    ranked = ops.take_along_axis(ids, order, axis=1)
    before = ops.pad(ranked[:, :-1], ((0, 0), (1, 0), (0, 0)))  # 0 is no n-gram
    new = ops.take_along_axis(
        ops.cast(ops.not_equal(ranked, before), "int32"), ops.argsort(order, axis=1), axis=1
    )
    return ops.logical_and(ids > UNKNOWN, new > 0)


def thinned(x: Tensor, dropout: float, word_dropout: float) -> Tensor:
    """Features `(B, T, D)` of which single ones, and whole words, are dropped in training."""
    if dropout:
        x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    if word_dropout:
        whole = (None, None, 1)
        x = keras.layers.Dropout(word_dropout, noise_shape=whole, name="word_dropout")(x)
    return x
