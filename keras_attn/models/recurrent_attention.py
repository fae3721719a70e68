"""A bidirectional recurrent network over a text whose states are pooled by attention."""

from typing import Literal

import keras
from keras import ops

from keras_attn._token_ids import PADDING_ID
from keras_attn.models._blocks import make_pooling
from keras_attn.models._config import (
    NumClasses,
    Positive,
    Rate,
    StreamingAttentionKind,
    frozen_config,
)
from keras_attn.models._texts import (
    VocabularySizes,
    check_orders,
    classify,
    classify_with_bag,
    drop_features,
    embed_ngrams,
    word_features,
)
from keras_attn.models.registry import register_architecture

CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


@frozen_config
class RecurrentAttentionConfig:
    """Configuration of a `recurrent_attention`.

    Attributes:
        num_classes: Number of classes.
        ratio_classes: Number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: Number of ids of each order of n-grams: words, pairs, triples.
        frequent_sizes: Number of ids of each order that the recurrent network reads, the most
            frequent n-grams; only the bag reads the others. None means all. Rare words are
            names of films and people rather than opinions.
        embedding_dim: Number of learned features of a word, besides the log-count ratios of
            the n-grams that begin there.
        cell: The recurrent cell.
        units: Size of the state in each direction.
        attention: Normalizer of the attention; or `"none"`, the baseline that averages.
        attention_units: Size of the attention's query.
        dropout: Dropout rate of features before the network, and after pooling.
        word_dropout: Rate at which words are dropped as a whole.
        bag: Whether a bag of n-grams, pooled as in `ngram_attention`, is a second branch: in
            training one of both answers for each text, and then their mean. Leave `once` of
            the encoder False: the bag itself counts repeated n-grams once.
        shrinkage_ngrams: Number of known n-grams from which the bag's average counts in full.
            With fewer in a text it counts as if features of zeros made up the number.
    """

    num_classes: NumClasses = 2
    ratio_classes: NumClasses | None = None
    vocabulary_sizes: VocabularySizes = (25_000, 60_000)
    frequent_sizes: VocabularySizes | None = None
    embedding_dim: Positive = 32
    cell: Literal["gru", "lstm"] = "gru"
    units: Positive = 64
    attention: StreamingAttentionKind = "softmax"
    attention_units: Positive = 64
    dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    bag: bool = False
    shrinkage_ngrams: Positive = 64

    def __post_init__(self) -> None:
        check_orders(self.vocabulary_sizes, self.frequent_sizes)


@register_architecture("recurrent_attention", task="text_classification")
def build_recurrent_attention(config: RecurrentAttentionConfig) -> keras.Model:
    """Build word and n-gram features, a bidirectional GRU or LSTM, attention, a classifier.

    The word attention of Yang et al. (HAN, NAACL 2016), whose alignment is that of
    Bahdanau et al. (arXiv:1409.0473). Padding does not enter the states.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> config = RecurrentAttentionConfig(vocabulary_sizes=(9, 9), units=4)
    >>> build_recurrent_attention(config).get_layer("states").output.shape
    (None, None, 8)
    """
    sizes = config.vocabulary_sizes
    ratio_classes = config.ratio_classes or config.num_classes
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")  # (B, T, G)
    padding_mask = ids[:, :, 0] != PADDING_ID  # (B, T)
    ngrams = embed_ngrams(ids, sizes, ratio_classes, config.bag)
    x = word_features(ngrams, sizes, config.frequent_sizes, config.embedding_dim, ratio_classes)
    x = drop_features(x, config.dropout, config.word_dropout)  # (B, T, D + G * C)
    cell = CELLS[config.cell](config.units, return_sequences=True)
    states = keras.layers.Bidirectional(cell, name="states")
    x = states(x, mask=_with_first_position(padding_mask))  # (B, T, 2 * units)
    pooling = make_pooling(
        config.attention,
        score="additive",
        key_dim=config.attention_units,
        project_values=False,
    )
    pooled = pooling(x, padding_mask=padding_mask)  # (B, 2 * units)
    logits = classify(pooled, config.num_classes, config.dropout)  # (B, num_classes)
    if config.bag:
        logits = classify_with_bag(
            logits, ngrams, ratio_classes, config.attention, config.shrinkage_ngrams
        )
    return keras.Model(ids, logits, name="recurrent_attention")


def _with_first_position(padding_mask: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mask with True at the first position of every text.

    cuDNN rejects texts without words: the cell reads one position of padding there, and the
    pooling masks it.
    """
    first = ops.ones_like(padding_mask[:, :1])
    return ops.concatenate([first, padding_mask[:, 1:]], axis=1)
