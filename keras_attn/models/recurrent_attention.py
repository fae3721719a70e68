"""A bidirectional recurrent network whose states are pooled by attention."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from keras_attn.layers import AttentionPooling
from keras_attn.models._config import config
from keras_attn.models._texts import Dims, Sizes, check_orders, classified, text_input

CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


@config
class RecurrentAttentionConfig:
    """What a `recurrent_attention` is made of.

    Attributes:
        num_classes: number of classes.
        vocabulary_sizes: number of ids of each order of n-grams: words, pairs, triples.
        embedding_dims: features of each order, besides one for each class that starts as
            the n-gram's log-count ratio.
        embedding_gain: see `keras_attn.layers.NGramEmbedding`.
        cell: the recurrent cell.
        units: size of the state in each direction.
        attention: normalizer of the attention, or `"none"` for the twin that averages.
        attention_units: size of the attention's query.
        dropout: rate at which features are dropped before the network and after pooling.
    """

    num_classes: Annotated[int, Gt(1)] = 2
    vocabulary_sizes: Sizes = (25_000, 60_000)
    embedding_dims: Dims = (32, 4)
    embedding_gain: Annotated[float, Gt(0)] = 1.0
    cell: Literal["gru", "lstm"] = "gru"
    units: Annotated[int, Gt(0)] = 64
    attention: Literal["none", "softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
    attention_units: Annotated[int, Gt(0)] = 64
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        check_orders(self.vocabulary_sizes, self.embedding_dims)


def recurrent_attention(config: RecurrentAttentionConfig) -> keras.Model:
    """Embedded words with the n-grams they begin, a bidirectional GRU or LSTM, attention.

    The word attention of Yang et al. (HAN, NAACL 2016), whose alignment is that of
    Bahdanau et al. (arXiv:1409.0473), over states that padding does not enter.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> model = recurrent_attention(RecurrentAttentionConfig(vocabulary_sizes=(9, 9), units=4))
    >>> model.get_layer("states").output.shape
    (None, None, 8)
    """
    sizes, dims = config.vocabulary_sizes, config.embedding_dims
    ids, x, real = text_input(sizes, dims, config.num_classes, config.embedding_gain)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="embedding_dropout")(x)
    cell = CELLS[config.cell](config.units, return_sequences=True)
    states = keras.layers.Bidirectional(cell, name="states")(x, mask=real)
    uniform = config.attention == "none"
    pooled = AttentionPooling(
        key_dim=config.attention_units,
        score="uniform" if uniform else "additive",
        project_values=False,
        normalizer="softmax" if uniform else config.attention,
        name="pool" if uniform else "attention",
    )(states, padding_mask=real)
    logits = classified(pooled, config.num_classes, config.dropout)
    return keras.Model(ids, logits, name="recurrent_attention")
