"""Architectures: a frozen config, and a registered function that builds a `keras.Model` from it.

>>> list_architectures("image_classification")
['attention_net', 'compact_transformer', 'small_attention_cnn']
>>> build("small_attention_cnn", num_classes=3).output.shape
(None, 3)
"""

from keras_attn.models._config import frozen_config
from keras_attn.models._translation import TranslationModel
from keras_attn.models.attention_detector import (
    AttentionDetectorConfig,
    build_attention_detector,
)
from keras_attn.models.attention_net import AttentionNetConfig, build_attention_net
from keras_attn.models.calendar_transformer import (
    CalendarTransformerConfig,
    build_calendar_transformer,
)
from keras_attn.models.causal_transformer import (
    CausalTransformer,
    CausalTransformerConfig,
    build_causal_transformer,
)
from keras_attn.models.compact_transformer import (
    CompactTransformerConfig,
    build_compact_transformer,
)
from keras_attn.models.keyword_attention import (
    KeywordAttentionConfig,
    build_keyword_attention,
)
from keras_attn.models.ngram_attention import NGramAttentionConfig, build_ngram_attention
from keras_attn.models.parts import (
    FeatureMap,
    attention_pooling,
    backbone,
    head,
    head_layers,
    last_feature_map,
    ngram_embedding,
)
from keras_attn.models.patch_transformer import (
    PatchTransformerConfig,
    SeriesPatches,
    build_patch_transformer,
)
from keras_attn.models.recurrent_attention import (
    RecurrentAttentionConfig,
    build_recurrent_attention,
)
from keras_attn.models.recurrent_translator import (
    RecurrentTranslator,
    RecurrentTranslatorConfig,
    build_recurrent_translator,
)
from keras_attn.models.registry import (
    ArchitectureInfo,
    build,
    configure,
    describe_architecture,
    list_architectures,
    register_architecture,
    unregister_architecture,
)
from keras_attn.models.small_attention_cnn import SmallAttentionCNNConfig, build_small_attention_cnn
from keras_attn.models.text_transformer import TextTransformerConfig, build_text_transformer
from keras_attn.models.transfer import CopiedBackbone, copy_backbone
from keras_attn.models.translation_transformer import (
    TranslationTransformer,
    TranslationTransformerConfig,
    build_translation_transformer,
)

__all__ = [
    "ArchitectureInfo",
    "AttentionDetectorConfig",
    "AttentionNetConfig",
    "CalendarTransformerConfig",
    "CausalTransformer",
    "CausalTransformerConfig",
    "CompactTransformerConfig",
    "CopiedBackbone",
    "KeywordAttentionConfig",
    "NGramAttentionConfig",
    "PatchTransformerConfig",
    "RecurrentAttentionConfig",
    "RecurrentTranslator",
    "RecurrentTranslatorConfig",
    "SeriesPatches",
    "SmallAttentionCNNConfig",
    "TextTransformerConfig",
    "TranslationModel",
    "TranslationTransformer",
    "TranslationTransformerConfig",
    "attention_pooling",
    "backbone",
    "build",
    "build_attention_detector",
    "build_attention_net",
    "build_calendar_transformer",
    "build_causal_transformer",
    "build_compact_transformer",
    "build_keyword_attention",
    "build_ngram_attention",
    "build_patch_transformer",
    "build_recurrent_attention",
    "build_recurrent_translator",
    "build_small_attention_cnn",
    "build_text_transformer",
    "build_translation_transformer",
    "configure",
    "copy_backbone",
    "describe_architecture",
    "frozen_config",
    "head",
    "head_layers",
    "last_feature_map",
    "list_architectures",
    "ngram_embedding",
    "register_architecture",
    "unregister_architecture",
]
