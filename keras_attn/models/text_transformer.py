"""A Transformer encoder over a text, pooled by attention."""

from typing import Literal

import keras

from keras_attn._token_ids import PADDING_ID
from keras_attn.layers import TransformerEncoderBlock
from keras_attn.models._blocks import feed_forward_block, make_pooling
from keras_attn.models._config import (
    NumClasses,
    Positive,
    Rate,
    StreamingAttentionKind,
    frozen_config,
)
from keras_attn.models._texts import (
    Tensor,
    VocabularySizes,
    check_orders,
    classify,
    classify_with_bag,
    drop_features,
    embed_ngrams,
    word_features,
)
from keras_attn.models.registry import register_architecture


@frozen_config
class TextTransformerConfig:
    """Configuration of a `text_transformer`.

    Attributes:
        num_classes: Number of classes.
        ratio_classes: Number of classes that the log-count-ratio features tell apart; None
            means `num_classes`.
        vocabulary_sizes: Number of ids of each order of n-grams: words, pairs, triples.
        frequent_sizes: Number of ids of each order that the Transformer reads, the most
            frequent n-grams; only the bag reads the others. None means all. Rare words are
            names of films and people rather than opinions.
        embedding_dim: Number of learned features of a word, besides the log-count ratios of
            the n-grams that begin there.
        model_dim: Number of features of a position inside the encoder.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide `model_dim`.
        intermediate_dim: Hidden size of the feed-forward networks.
        window: A word attends to words at a distance below `window` on either side; None means
            the whole text.
        position: Position encoding inside attention, see
            `keras_attn.layers.MultiHeadAttention`.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention:
            blocks with feed-forward networks only, and an average over the words.
        dropout: Dropout rate in the blocks, before them and before the classifier.
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
    model_dim: Positive = 64
    num_layers: Positive = 2
    num_heads: Positive = 4
    intermediate_dim: Positive = 128
    window: Positive | None = None
    position: Literal["rotary", "alibi", "relative"] | None = "rotary"
    attention: StreamingAttentionKind = "softmax"
    dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    bag: bool = False
    shrinkage_ngrams: Positive = 64

    def __post_init__(self) -> None:
        check_orders(self.vocabulary_sizes, self.frequent_sizes)
        if self.model_dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide `model_dim`. Received: "
                f"{self.num_heads} heads of {self.model_dim} features."
            )


@register_architecture("text_transformer", task="text_classification")
def build_text_transformer(config: TextTransformerConfig) -> keras.Model:
    """Build word and n-gram features, encoder blocks, attention pooling, a classifier.

    Pre-norm blocks (Vaswani et al., arXiv:1706.03762; Xiong et al., arXiv:2002.04745) whose
    attention may be local, and a learned query in place of a class token.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: ids `(B, T, G)` to logits `(B, num_classes)`.

    Example:

    >>> model = build_text_transformer(TextTransformerConfig(vocabulary_sizes=(9, 9), window=16))
    >>> model.get_layer("block_2").output.shape
    (None, None, 64)
    """
    sizes = config.vocabulary_sizes
    ratio_classes = config.ratio_classes or config.num_classes
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")  # (B, T, G)
    padding_mask = ids[:, :, 0] != PADDING_ID  # (B, T)
    ngrams = embed_ngrams(ids, sizes, ratio_classes, config.bag)
    x = word_features(ngrams, sizes, config.frequent_sizes, config.embedding_dim, ratio_classes)
    x = keras.layers.Dense(config.model_dim, name="projection")(x)  # (B, T, model_dim)
    x = drop_features(x, config.dropout, config.word_dropout)
    for index in range(1, config.num_layers + 1):
        x = _block(config, x, padding_mask, f"block_{index}")
    pooling = make_pooling(config.attention, num_heads=config.num_heads)
    pooled = pooling(x, padding_mask=padding_mask)  # (B, model_dim)
    logits = classify(pooled, config.num_classes, config.dropout)  # (B, num_classes)
    if config.bag:
        logits = classify_with_bag(
            logits, ngrams, ratio_classes, config.attention, config.shrinkage_ngrams
        )
    return keras.Model(ids, logits, name="text_transformer")


def _block(config: TextTransformerConfig, x: Tensor, padding_mask: Tensor, name: str) -> Tensor:
    """Apply one encoder block to states `(B, T, model_dim)`."""
    if config.attention == "none":
        return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
    block = TransformerEncoderBlock(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        normalizer=config.attention,
        position=config.position,
        window=config.window,
        name=name,
    )
    return block(x, padding_mask=padding_mask)
