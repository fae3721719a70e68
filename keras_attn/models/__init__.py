"""Architectures: a frozen config, and the function that builds a `keras.Model` from it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import pydantic

from keras_attn._names import unknown
from keras_attn.models._translation import TranslationModel
from keras_attn.models.attention_net import AttentionNetConfig, attention_net
from keras_attn.models.compact_transformer import CompactTransformerConfig, compact_transformer
from keras_attn.models.ngram_attention import NGramAttentionConfig, ngram_attention
from keras_attn.models.recurrent_attention import RecurrentAttentionConfig, recurrent_attention
from keras_attn.models.recurrent_translator import (
    RecurrentTranslator,
    RecurrentTranslatorConfig,
    recurrent_translator,
)
from keras_attn.models.small_attention_cnn import SmallAttentionCNNConfig, small_attention_cnn
from keras_attn.models.text_transformer import TextTransformerConfig, text_transformer
from keras_attn.models.translation_transformer import (
    TranslationTransformer,
    TranslationTransformerConfig,
    translation_transformer,
)

_Architectures = dict[str, tuple[type, Callable[[Any], keras.Model]]]

IMAGE_ARCHITECTURES: _Architectures = {
    "attention_net": (AttentionNetConfig, attention_net),
    "compact_transformer": (CompactTransformerConfig, compact_transformer),
    "small_attention_cnn": (SmallAttentionCNNConfig, small_attention_cnn),
}
TEXT_ARCHITECTURES: _Architectures = {
    "ngram_attention": (NGramAttentionConfig, ngram_attention),
    "recurrent_attention": (RecurrentAttentionConfig, recurrent_attention),
    "text_transformer": (TextTransformerConfig, text_transformer),
}
TRANSLATION_ARCHITECTURES: _Architectures = {
    "recurrent_translator": (RecurrentTranslatorConfig, recurrent_translator),
    "translation_transformer": (TranslationTransformerConfig, translation_transformer),
}
ARCHITECTURES = {**IMAGE_ARCHITECTURES, **TEXT_ARCHITECTURES, **TRANSLATION_ARCHITECTURES}


def configure(architecture: str, **settings: Any) -> Any:
    """The checked config of an architecture.

    Raises:
        ValueError: no architecture has that name, or a setting is unknown or impossible;
            the message names each, and what is accepted.

    Example:

    >>> configure("small_attention_cnn", num_classes=3).filters
    (32, 64)
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(unknown("architecture", architecture, ARCHITECTURES))
    config = ARCHITECTURES[architecture][0]
    try:
        return config(**settings)
    except pydantic.ValidationError as error:
        accepted = [field.name for field in dataclasses.fields(config)]
        lines = [f"The settings of {architecture!r} cannot be used:"]
        for problem in error.errors():
            key = ".".join(map(str, problem["loc"]))
            if problem["type"] == "unexpected_keyword_argument":
                lines.append(f"  {unknown('setting', key, accepted)}")
            elif problem["type"] == "value_error":
                lines.append(f"  {problem['ctx']['error']}")
            else:
                lines.append(f"  {key}: {problem['msg']}. Received: {problem['input']!r}.")
        raise ValueError("\n".join(lines)) from error


def build(architecture: str, **settings: Any) -> keras.Model:
    """Build an architecture by name, with fresh weights.

    Args:
        architecture: a key of `ARCHITECTURES`.
        **settings: values for its config; the others keep their defaults.

    Raises:
        ValueError: as `configure`.

    Example:

    >>> build("small_attention_cnn", attention="sigmoid", num_classes=3).output.shape
    (None, 3)
    """
    config = configure(architecture, **settings)
    return ARCHITECTURES[architecture][1](config)


__all__ = [
    "ARCHITECTURES",
    "IMAGE_ARCHITECTURES",
    "TEXT_ARCHITECTURES",
    "TRANSLATION_ARCHITECTURES",
    "AttentionNetConfig",
    "CompactTransformerConfig",
    "NGramAttentionConfig",
    "RecurrentAttentionConfig",
    "RecurrentTranslator",
    "RecurrentTranslatorConfig",
    "SmallAttentionCNNConfig",
    "TextTransformerConfig",
    "TranslationModel",
    "TranslationTransformer",
    "TranslationTransformerConfig",
    "attention_net",
    "build",
    "compact_transformer",
    "configure",
    "ngram_attention",
    "recurrent_attention",
    "recurrent_translator",
    "small_attention_cnn",
    "text_transformer",
    "translation_transformer",
]
