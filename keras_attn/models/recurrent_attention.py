"""A bidirectional recurrent network whose states are pooled by attention."""

from typing import Annotated, Literal

import keras
from annotated_types import Gt
from keras import ops

from keras_attn.layers import AttentionPooling
from keras_attn.models._config import frozen_config
from keras_attn.models._texts import Rate, Sizes, TextInput, check_orders, thinned
from keras_attn.models.registry import register_architecture

CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


@frozen_config
class RecurrentAttentionConfig:
    """What a `recurrent_attention` is made of.

    Attributes:
        num_classes: number of classes.
        ratio_classes: number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: number of ids of each order of n-grams: words, pairs, triples.
        frequent_sizes: as many of each order, the most frequent, are read by the network, and
            the others by the bag alone; None is all. What is rare names films, not opinions.
        embedding_dim: features that are learned of a word, beside the log-count ratios, one
            for each class, of the n-grams that it begins.
        cell: the recurrent cell.
        units: size of the state in each direction.
        attention: normalizer of the attention, or `"none"` for the twin that averages.
        attention_units: size of the attention's query.
        dropout: rate at which features are dropped before the network and after pooling.
        word_dropout: rate at which words are dropped, with all of their features.
        bag: whether a bag of n-grams, pooled as in `ngram_attention`, answers beside the
            network: in training one of the two, and then the mean of both. Ids must not
            leave n-grams out that stood before (`once` of the encoder); the bag sees to it.
        enough: known n-grams of a text over which the bag's average counts in full; of a text of
            fewer it counts as if the others were there and said nothing.
    """

    num_classes: Annotated[int, Gt(1)] = 2
    ratio_classes: Annotated[int, Gt(1)] | None = None
    vocabulary_sizes: Sizes = (25_000, 60_000)
    frequent_sizes: Sizes | None = None
    embedding_dim: Annotated[int, Gt(0)] = 32
    cell: Literal["gru", "lstm"] = "gru"
    units: Annotated[int, Gt(0)] = 64
    attention: Literal["none", "softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
    attention_units: Annotated[int, Gt(0)] = 64
    dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    bag: bool = False
    enough: Annotated[int, Gt(0)] = 64

    def __post_init__(self) -> None:
        check_orders(self.vocabulary_sizes, self.frequent_sizes)


@register_architecture("recurrent_attention", task="text_classification")
def build_recurrent_attention(config: RecurrentAttentionConfig) -> keras.Model:
    """Embedded words with the n-grams they begin, a bidirectional GRU or LSTM, attention.

    The word attention of Yang et al. (HAN, NAACL 2016), whose alignment is that of
    Bahdanau et al. (arXiv:1409.0473), over states that padding does not enter.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> config = RecurrentAttentionConfig(vocabulary_sizes=(9, 9), units=4)
    >>> build_recurrent_attention(config).get_layer("states").output.shape
    (None, None, 8)
    """
    text = TextInput(
        config.vocabulary_sizes,
        config.frequent_sizes,
        config.embedding_dim,
        config.num_classes,
        config.ratio_classes or config.num_classes,
        config.bag,
        config.enough,
    )
    x = thinned(text.features, config.dropout, config.word_dropout)
    cell = CELLS[config.cell](config.units, return_sequences=True)
    # cuDNN refuses a text without words: let it read one of padding, which is pooled by nobody.
    first = ops.ones_like(text.real[:, :1])
    read = ops.concatenate([first, text.real[:, 1:]], axis=1)
    states = keras.layers.Bidirectional(cell, name="states")(x, mask=read)
    uniform = config.attention == "none"
    pooled = AttentionPooling(
        key_dim=config.attention_units,
        score="uniform" if uniform else "additive",
        project_values=False,
        normalizer="softmax" if uniform else config.attention,
        name="pool" if uniform else "attention",
    )(states, padding_mask=text.real)
    logits = text.logits(pooled, config.attention, config.dropout)
    return keras.Model(text.ids, logits, name="recurrent_attention")
