"""Parts of the text models: n-gram features, what networks read, and classifiers over n-grams.

Shapes in comments: `B` texts, `T` positions, `G` orders of n-grams (words, pairs, ...), `C`
classes that log-count ratios tell apart, `D` features of a word, `E` features of an n-gram.
"""

from typing import Annotated, Any, NamedTuple

import keras
from annotated_types import Gt, MinLen
from keras import ops

from keras_attn._token_ids import PADDING_ID, UNKNOWN_ID
from keras_attn._types import Tensor
from keras_attn.layers import BranchMean, NGramEmbedding
from keras_attn.models._blocks import make_pooling

VocabularySizes = Annotated[tuple[Annotated[int, Gt(2)], ...], MinLen(1)]

EMBEDDING_STDDEV = 0.1  # of learned features at initialization
BAG_EMBEDDING_GAIN = 3.0  # factor on the bag's learned features, in effect on Adam's step size
BAG_EMBEDDING_DIM = 3  # learned features of an n-gram in the bag, besides adjustments of ratios
BAG_INITIAL_RATIO_SCALE = 5.0  # logits per pooled log-count ratio in the bag, at initialization
BAG_KEY_DIM = 8


def check_orders(vocabulary_sizes: tuple[int, ...], frequent_sizes: tuple[int, ...] | None) -> None:
    """Raise ValueError unless both have one value for each order of n-grams."""
    if frequent_sizes is not None and len(vocabulary_sizes) != len(frequent_sizes):
        raise ValueError(
            "`vocabulary_sizes` and `frequent_sizes` must have one value an order of n-grams. "
            f"Received: {vocabulary_sizes} and {frequent_sizes}. Give both, or "
            "`frequent_sizes=None` for all."
        )


class NGrams(NamedTuple):
    """The n-grams that begin at each position of a text.

    Attributes:
        ids: Integers `(B, T, G)`, without folds, see `NGramEmbedding.without_folds`.
        features: Floats `(B, T, G, C + E)`: fixed log-count ratios, and learned features of
            the bag: adjustments of the ratios, and `BAG_EMBEDDING_DIM` others. Without a bag
            nothing is learned, and `E` is 0.
    """

    ids: Tensor
    features: Tensor


def embed_ngrams(
    ids: Tensor, vocabulary_sizes: tuple[int, ...], ratio_classes: int, bag: bool
) -> NGrams:
    """Look up the features of n-grams, by a layer named `"ngrams"`.

    Args:
        ids: Symbolic integers `(B, T, G)`.
        vocabulary_sizes: Number of ids of each order.
        ratio_classes: Number of log-count ratios of an n-gram, `C`.
        bag: Whether to learn features for a bag of n-grams.
    """
    orders = len(vocabulary_sizes)
    learned_dim = ratio_classes + BAG_EMBEDDING_DIM if bag else 0
    embedding = NGramEmbedding(
        vocabulary_sizes,
        (learned_dim,) * orders,
        BAG_EMBEDDING_GAIN,
        num_ratios=ratio_classes,
        embeddings_initializer=ZeroColumnsInitializer(
            ratio_classes, EMBEDDING_STDDEV / BAG_EMBEDDING_GAIN
        ),
        name="ngrams",
    )
    shape = (-1, orders, ratio_classes + learned_dim)
    features = keras.layers.Reshape(shape, name="by_order")(embedding(ids))  # (B, T, G, C + E)
    return NGrams(embedding.without_folds(ids), features)


def word_features(
    ngrams: NGrams,
    vocabulary_sizes: tuple[int, ...],
    frequent_sizes: tuple[int, ...] | None,
    embedding_dim: int,
    ratio_classes: int,
) -> Tensor:
    """Return what a network reads of each word: learned features, and log-count ratios.

    Args:
        ngrams: The n-grams that begin at each position.
        vocabulary_sizes: Number of ids of each order.
        frequent_sizes: Number of ids of each order that the network reads, the most frequent
            n-grams; the others are unknown to it. None means all.
        embedding_dim: Number of learned features of a word, `D`.
        ratio_classes: Number of log-count ratios of an n-gram, `C`.

    Returns:
        Floats `(B, T, D + G * C)`, from a layer named `"features"`.
    """
    limits = list(map(min, vocabulary_sizes, frequent_sizes or vocabulary_sizes))
    columns = [ngrams.ids[:, :, order] for order in range(len(limits))]  # G times (B, T)
    columns = [
        ops.where(column < limit, column, UNKNOWN_ID)
        for column, limit in zip(columns, limits, strict=True)
    ]
    embedding = NGramEmbedding(
        limits[:1],
        (embedding_dim,),
        embeddings_initializer=keras.initializers.RandomNormal(stddev=EMBEDDING_STDDEV),
        name="words",
    )
    words = embedding(columns[0][:, :, None])  # (B, T, D)
    is_frequent = ops.cast(ops.stack(columns, axis=-1) > UNKNOWN_ID, words.dtype)  # (B, T, G)
    ratios = ngrams.features[..., :ratio_classes] * is_frequent[..., None]  # (B, T, G, C)
    ratios = keras.layers.Reshape((-1, len(limits) * ratio_classes), name="ratios")(ratios)
    return keras.layers.Concatenate(name="features")([words, ratios])  # (B, T, D + G * C)


def drop_features(x: Tensor, dropout: float, word_dropout: float) -> Tensor:
    """Apply dropout to features `(B, T, D)`: to single ones, and to words as a whole."""
    if dropout:
        x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    if word_dropout:
        word = (None, None, 1)
        x = keras.layers.Dropout(word_dropout, noise_shape=word, name="word_dropout")(x)
    return x


def classify(pooled: Tensor, num_classes: int, dropout: float) -> Tensor:
    """Return float32 logits `(B, num_classes)` from pooled states `(B, D)`."""
    if dropout:
        pooled = keras.layers.Dropout(dropout, name="dropout")(pooled)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(pooled)


def classify_with_bag(
    logits: Tensor,
    ngrams: NGrams,
    ratio_classes: int,
    attention: str,
    shrinkage_ngrams: int,
) -> Tensor:
    """Return the mean of a network's logits and those of a bag of n-grams.

    In the bag each n-gram counts once in a text. In training one of both branches, drawn for
    each text, gives the logits, see `BranchMean`.

    Args:
        logits: The network's logits `(B, num_classes)`.
        ngrams: The n-grams of the texts, with features for a bag.
        ratio_classes: Number of log-count ratios of an n-gram, `C`.
        attention: Normalizer of the attention that pools the bag, or `"none"`.
        shrinkage_ngrams: See `shrink_average`.
    """
    ratios = ngrams.features[..., :ratio_classes]  # (B, T, G, C)
    learned = ngrams.features[..., ratio_classes:]  # (B, T, G, C + BAG_EMBEDDING_DIM)
    adjusted = ratios + learned[..., :ratio_classes]
    features = ops.concatenate([adjusted, learned[..., ratio_classes:]], axis=-1)
    shape = (-1, ratio_classes + BAG_EMBEDDING_DIM)
    features = keras.layers.Reshape(shape, name="bag")(features)  # (B, T * G, C + ...)
    mask = first_occurrence_mask(ngrams.ids)  # (B, T, G)
    mask = keras.layers.Reshape((-1,), name="once")(mask)  # (B, T * G)
    pooling = make_pooling(
        attention,
        key_dim=BAG_KEY_DIM,
        project_values=False,
        name="bag_attention",
        uniform_name="bag_pool",
    )
    pooled = shrink_average(pooling(features, padding_mask=mask), mask, shrinkage_ngrams)
    classifier = make_ratio_classifier(
        logits.shape[-1], ratio_classes, BAG_INITIAL_RATIO_SCALE, "bag_logits"
    )
    branches = ops.stack([logits, classifier(pooled)], axis=1)  # (B, 2, num_classes)
    return BranchMean(dtype="float32", name="branches")(branches)


def shrink_average(average: Tensor, mask: Tensor, shrinkage_ngrams: int) -> Tensor:
    """Shrink averages over few n-grams towards 0, for they are large by chance.

    An average over fewer than `shrinkage_ngrams` n-grams counts as if zeros made up the number.

    Args:
        average: Averages `(B, E)`; the result has the same shape.
        mask: Booleans `(B, S)`, True for the n-grams that an average is over.
        shrinkage_ngrams: Number of n-grams from which an average counts in full.
    """
    number = ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)  # (B, 1)
    return average * ops.cast(ops.minimum(number / shrinkage_ngrams, 1.0), average.dtype)


def make_ratio_classifier(
    num_classes: int, ratio_classes: int, initial_ratio_scale: float, name: str
) -> keras.layers.Dense:
    """Return a linear classifier over features whose first are log-count ratios.

    Each ratio speaks for its own class at first. Where ratios tell apart another number of
    classes, no class has a ratio of its own, and the weights are drawn as Keras draws them.

    Args:
        num_classes: Number of classes.
        ratio_classes: Number of log-count ratios among the features.
        initial_ratio_scale: Logits per log-count ratio at initialization.
        name: Name of the layer.
    """
    initializer: Any = "glorot_uniform"
    if ratio_classes == num_classes:
        initializer = keras.initializers.Identity(initial_ratio_scale)
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=name
    )


def first_occurrence_mask(ids: Tensor) -> Tensor:
    """Return a mask that is True at one occurrence of each known n-gram in its text.

    Args:
        ids: Integers `(B, T, G)`; orders have ids of their own.

    Returns:
        Booleans `(B, T, G)`; False for padding and unknown n-grams.
    """
    order = ops.argsort(ids, axis=1)
    ranked = ops.take_along_axis(ids, order, axis=1)
    previous = ops.pad(ranked[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=PADDING_ID)
    is_new = ops.cast(ops.not_equal(ranked, previous), "int32")
    is_new = ops.take_along_axis(is_new, ops.argsort(order, axis=1), axis=1)  # in the text's order
    return ops.logical_and(ids > UNKNOWN_ID, is_new > 0)


@keras.saving.register_keras_serializable(package="keras_attn", name="Adjustments")
class ZeroColumnsInitializer(keras.initializers.Initializer):
    """Zeros in the first columns of a matrix, normally distributed values in the others.

    Networks saved by version 0.1 know it as `Adjustments`.

    Args:
        zeros: Number of columns of zeros.
        stddev: Standard deviation of the others.
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
