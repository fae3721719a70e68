"""A Transformer encoder over a text, pooled by attention."""

from typing import Annotated, Literal

import keras
from annotated_types import Gt

from keras_attn.layers import AttentionPooling, TransformerEncoderBlock
from keras_attn.models._blocks import feed_forward_block
from keras_attn.models._config import frozen_config
from keras_attn.models._texts import Rate, Sizes, Tensor, TextInput, check_orders, thinned
from keras_attn.models.registry import register_architecture


@frozen_config
class TextTransformerConfig:
    """What a `text_transformer` is made of.

    Attributes:
        num_classes: number of classes.
        ratio_classes: number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: number of ids of each order of n-grams: words, pairs, triples.
        frequent_sizes: as many of each order, the most frequent, are read by the network, and
            the others by the bag alone; None is all. What is rare names films, not opinions.
        embedding_dim: features that are learned of a word, beside the log-count ratios, one
            for each class, of the n-grams that it begins.
        model_dim: features of a position inside the encoder.
        num_layers: encoder blocks.
        num_heads: heads of each, which divide `model_dim`.
        intermediate_dim: width of the feed-forward networks.
        window: a word attends to those at a distance below it on either side; None is the
            whole text.
        position: how attention knows positions, see `keras_attn.layers.MultiHeadAttention`.
        attention: normalizer of all attention, or `"none"` for the twin: blocks of
            feed-forward networks alone, and an average over the words.
        dropout: rate of dropout in blocks, before them and before the classifier.
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
    model_dim: Annotated[int, Gt(0)] = 64
    num_layers: Annotated[int, Gt(0)] = 2
    num_heads: Annotated[int, Gt(0)] = 4
    intermediate_dim: Annotated[int, Gt(0)] = 128
    window: Annotated[int, Gt(0)] | None = None
    position: Literal["rotary", "alibi", "relative"] | None = "rotary"
    attention: Literal["none", "softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
    dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    bag: bool = False
    enough: Annotated[int, Gt(0)] = 64

    def __post_init__(self) -> None:
        check_orders(self.vocabulary_sizes, self.frequent_sizes)
        if self.model_dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide `model_dim`. Received: "
                f"{self.num_heads} heads of {self.model_dim} features."
            )


@register_architecture("text_transformer", task="text_classification")
def build_text_transformer(config: TextTransformerConfig) -> keras.Model:
    """Embedded words with the n-grams they begin, encoder blocks, attention pooling.

    Pre-norm blocks (Vaswani et al., arXiv:1706.03762; Xiong et al., arXiv:2002.04745),
    whose attention may be local, and a learned query in place of a class token.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> model = build_text_transformer(TextTransformerConfig(vocabulary_sizes=(9, 9), window=16))
    >>> model.get_layer("block_2").output.shape
    (None, None, 64)
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
    x = keras.layers.Dense(config.model_dim, name="projection")(text.features)
    x = thinned(x, config.dropout, config.word_dropout)
    for index in range(config.num_layers):
        x = _block(config, f"block_{index + 1}", x, text.real)
    uniform = config.attention == "none"
    pooled = AttentionPooling(
        num_heads=config.num_heads,
        score="uniform" if uniform else "scaled_dot",
        normalizer="softmax" if uniform else config.attention,
        name="pool" if uniform else "attention",
    )(x, padding_mask=text.real)
    logits = text.logits(pooled, config.attention, config.dropout)
    return keras.Model(text.ids, logits, name="text_transformer")


def _block(config: TextTransformerConfig, name: str, x: Tensor, real: Tensor) -> Tensor:
    if config.attention != "none":
        return TransformerEncoderBlock(
            num_heads=config.num_heads,
            intermediate_dim=config.intermediate_dim,
            dropout=config.dropout,
            normalizer=config.attention,
            position=config.position,
            window=config.window,
            name=name,
        )(x, padding_mask=real)
    return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
