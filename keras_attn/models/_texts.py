"""What the text models share: their input, its mask, and the checks of their sizes."""

from typing import Annotated, Any

import keras
from annotated_types import Gt, MinLen

from keras_attn.layers import NGramEmbedding

Tensor = Any
Sizes = Annotated[tuple[Annotated[int, Gt(2)], ...], MinLen(1)]
Dims = Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)]

UNKNOWN = 1  # the id of what is not in a vocabulary; 0 is padding, or no n-gram at all


def check_orders(sizes: tuple[int, ...], dims: tuple[int, ...]) -> None:
    """Refuse sizes of n-grams that do not fit one another."""
    if len(sizes) != len(dims):
        raise ValueError(
            "`vocabulary_sizes` and `embedding_dims` must have one value an order of n-grams. "
            f"Received: {sizes} and {dims}."
        )


def classified(pooled: Tensor, num_classes: int, dropout: float) -> Tensor:
    """Logits `(B, num_classes)` from pooled features, through dropout if there is any."""
    if dropout:
        pooled = keras.layers.Dropout(dropout, name="dropout")(pooled)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(pooled)


def text_input(
    sizes: tuple[int, ...], dims: tuple[int, ...], num_classes: int, gain: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The input of a text model, its features, and its padding mask.

    Returns:
        Ids `(B, T, G)`; the features `(B, T, sum(num_classes + D_g))` of a layer
        `"ngrams"`, of which the first `num_classes` of each order are for the n-gram's
        log-count ratios; and the mask `(B, T)`, True where there is a word.
    """
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")
    small = keras.initializers.RandomNormal(stddev=0.1 / gain)
    dims = tuple(num_classes + dim for dim in dims)
    features = NGramEmbedding(sizes, dims, gain, embeddings_initializer=small, name="ngrams")(ids)
    return ids, features, ids[:, :, 0] != 0
