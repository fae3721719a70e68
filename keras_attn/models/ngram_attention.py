"""Attention over the n-grams of a text: a bag that knows which of its things matter."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt

from keras_attn.layers import AttentionPooling, NGramEmbedding
from keras_attn.models._config import frozen_config
from keras_attn.models._texts import UNKNOWN, Rate, Sizes, votes
from keras_attn.models.registry import register_architecture


@frozen_config
class NGramAttentionConfig:
    """What an `ngram_attention` is made of.

    Attributes:
        num_classes: number of classes.
        ratio_classes: number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: number of ids of each order of n-grams: words, pairs, triples.
        embedding_dim: features of an n-gram, besides one for each class that starts as its
            log-count ratio.
        attention: normalizer of the attention, or `"none"` for the twin that averages.
        score: how the learned query scores an n-gram.
        key_dim: size of query and keys.
        embedding_gain: see `keras_attn.layers.NGramEmbedding`.
        logit_gain: what the classifier multiplies the pooled log-count ratios by at first.
        dropout: rate at which attention weights are dropped in training.
        enough: known n-grams of a text over which the average counts in full; of a text of
            fewer it counts as if the others were there and said nothing.
    """

    num_classes: Annotated[int, Gt(1)] = 2
    ratio_classes: Annotated[int, Gt(1)] | None = None
    vocabulary_sizes: Sizes = (25_000, 120_000, 110_000)
    embedding_dim: Annotated[int, Ge(0)] = 3
    attention: Literal["none", "softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
    score: Literal["scaled_dot", "additive"] = "scaled_dot"
    key_dim: Annotated[int, Gt(0)] = 8
    embedding_gain: Annotated[float, Gt(0)] = 10.0
    logit_gain: Annotated[float, Gt(0)] = 5.0
    dropout: Rate = 0.0
    enough: Annotated[int, Gt(0)] = 64


@register_architecture("ngram_attention", task="text_classification")
def build_ngram_attention(config: NGramAttentionConfig) -> keras.Model:
    """Embedded n-grams, pooled by a learned query, and a linear classifier.

    Naive-Bayes log-count ratios as features (Wang and Manning, ACL 2012), trained on as
    embeddings (Li et al., COLING 2016), here under attention in place of a sum. An n-gram
    that is not in the vocabulary has no vote; a text of none has that of the bias.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> model = build_ngram_attention(NGramAttentionConfig(vocabulary_sizes=(9, 9)))
    >>> model.input.shape, model.output.shape
    ((None, None, 2), (None, 2))
    """
    sizes, gain = config.vocabulary_sizes, config.embedding_gain
    width = (config.ratio_classes or config.num_classes) + config.embedding_dim
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")
    features = NGramEmbedding(
        sizes,
        (width,) * len(sizes),
        gain,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1 / gain),
        name="ngrams",
    )(ids)
    # Each n-gram is a position of its own.
    ngrams = keras.layers.Reshape((-1, width), name="positions")(features)
    known = keras.layers.Flatten(name="known")(ids) > UNKNOWN
    uniform = config.attention == "none"
    pooled = AttentionPooling(
        key_dim=config.key_dim,
        score="uniform" if uniform else config.score,
        project_values=False,
        normalizer="softmax" if uniform else config.attention,
        dropout=config.dropout,
        name="pool" if uniform else "attention",
    )(ngrams, padding_mask=known)
    logits = votes(
        pooled,
        known,
        config.num_classes,
        config.ratio_classes,
        config.logit_gain,
        config.enough,
        "logits",
    )
    return keras.Model(ids, logits, name="ngram_attention")
