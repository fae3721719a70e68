"""Attention over the n-grams of a text, without their order."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt
from keras import ops

from keras_attn._token_ids import UNKNOWN_ID
from keras_attn.layers import NGramEmbedding
from keras_attn.models._blocks import make_pooling
from keras_attn.models._config import (
    NumClasses,
    Positive,
    Rate,
    StreamingAttentionKind,
    frozen_config,
)
from keras_attn.models._texts import (
    EMBEDDING_STDDEV,
    VocabularySizes,
    make_ratio_classifier,
    shrink_average,
)
from keras_attn.models.registry import register_architecture


@frozen_config
class NGramAttentionConfig:
    """Configuration of an `ngram_attention`.

    Attributes:
        num_classes: Number of classes.
        ratio_classes: Number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: Number of ids of each order of n-grams: words, pairs, triples.
        embedding_dim: Number of features of an n-gram, besides `ratio_classes` that start as
            its log-count ratios.
        attention: Normalizer of the attention; or `"none"`, the baseline that averages.
        score: How the learned query is compared with an n-gram.
        num_queries: Number of learned queries, whose averages of the n-grams are averaged.
            With several, less depends on what a single one learns to prefer.
        key_dim: Size of queries and keys.
        embedding_gain: Factor on the embedding tables, see `keras_attn.layers.NGramEmbedding`.
        logit_gain: Logits per pooled log-count ratio at initialization.
        dropout: Dropout rate of attention weights.
        shrinkage_ngrams: Number of known n-grams from which their average counts in full. With
            fewer in a text it counts as if features of zeros made up the number.
    """

    num_classes: NumClasses = 2
    ratio_classes: NumClasses | None = None
    vocabulary_sizes: VocabularySizes = (25_000, 120_000, 110_000)
    embedding_dim: Annotated[int, Ge(0)] = 3
    attention: StreamingAttentionKind = "softmax"
    score: Literal["scaled_dot", "additive"] = "scaled_dot"
    num_queries: Positive = 1
    key_dim: Positive = 8
    embedding_gain: Annotated[float, Gt(0)] = 10.0
    logit_gain: Annotated[float, Gt(0)] = 5.0
    dropout: Rate = 0.0
    shrinkage_ngrams: Positive = 64


@register_architecture("ngram_attention", task="text_classification")
def build_ngram_attention(config: NGramAttentionConfig) -> keras.Model:
    """Build embedded n-grams, pooled by a learned query, and a linear classifier.

    Naive-Bayes log-count ratios as features (Wang and Manning, ACL 2012), trained as
    embeddings (Li et al., COLING 2016), here with attention in place of a sum. N-grams outside
    the vocabulary are masked; a text without known n-grams has the logits of the bias.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> model = build_ngram_attention(NGramAttentionConfig(vocabulary_sizes=(9, 9)))
    >>> model.input.shape, model.output.shape
    ((None, None, 2), (None, 2))
    """
    orders = len(config.vocabulary_sizes)
    ratio_classes = config.ratio_classes or config.num_classes
    width = ratio_classes + config.embedding_dim  # E
    stddev = EMBEDDING_STDDEV / config.embedding_gain
    ids = keras.Input((None, orders), dtype="int32", name="ids")  # (B, T, G)
    embedding = NGramEmbedding(
        config.vocabulary_sizes,
        (width,) * orders,
        config.embedding_gain,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev),
        name="ngrams",
    )
    features = keras.layers.Reshape((-1, width), name="positions")(embedding(ids))  # (B, T * G, E)
    mask = keras.layers.Reshape((-1,), name="known")(ids) > UNKNOWN_ID  # (B, T * G)
    pooling = make_pooling(
        config.attention,
        num_queries=config.num_queries if config.num_queries > 1 else None,
        score=config.score,
        key_dim=config.key_dim,
        project_values=False,
        dropout=config.dropout,
    )
    pooled = pooling(features, padding_mask=mask)  # (B, E), or (B, Q, E) of several queries
    if config.num_queries > 1:
        pooled = ops.mean(pooled, axis=1)
    pooled = shrink_average(pooled, mask, config.shrinkage_ngrams)
    classifier = make_ratio_classifier(
        config.num_classes, ratio_classes, config.logit_gain, "logits"
    )
    return keras.Model(ids, classifier(pooled), name="ngram_attention")
