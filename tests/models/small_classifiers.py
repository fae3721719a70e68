"""Small networks of every classifier architecture, with all weights drawn, and their inputs."""

import keras
import numpy as np
import pytest

from keras_attn import models
from tests.models.small_text_models import IDS, SIZES, SMALL

IMAGES = {
    "attention_net": {
        **{"stem_filters": 4, "stage_filters": (4, 6), "stage_downsample": ("max", "max")},
        "image_size": 16,
    },
    "compact_transformer": {
        **{"tokenizer_filters": (4, 8), "num_layers": 1, "num_heads": 2, "intermediate_dim": 6},
        **{"pool_dim": 4, "image_size": 16},
    },
    "small_attention_cnn": {"filters": (4, 8), "key_channels": 4, "image_size": 16},
}
SOUNDS = {
    "keyword_attention": {
        **{"num_mel_bins": 12, "stem_filters": (3, 4), "model_dim": 8, "num_layers": 1},
        **{"num_heads": 2, "intermediate_dim": 6, "frequency_width": 3},
    },
}
TEXTS = {name: {"vocabulary_sizes": SIZES, **settings} for name, settings in SMALL.items()}
SETTINGS = {name: (name, settings) for name, settings in {**IMAGES, **SOUNDS, **TEXTS}.items()}
for _name in ("recurrent_attention", "text_transformer"):
    SETTINGS[f"{_name} with a bag"] = (_name, {**TEXTS[_name], "bag": True, "dropout": 0.1})
# The number of features that each head reads; a bag adds a feature for each class, and 3.
WIDTHS = {
    "attention_net": 6,
    "compact_transformer": 8,
    "keyword_attention": 8,
    "small_attention_cnn": 8,
    "ngram_attention": 3 + 2,
    "recurrent_attention": 8,
    "text_transformer": 8,
    "recurrent_attention with a bag": 8 + 3 + 3,
    "text_transformer with a bag": 8 + 3 + 3,
}
every_classifier = pytest.mark.parametrize("kind", SETTINGS)


def make(kind, num_classes=3, seed=1, **more):
    name, settings = SETTINGS[kind]
    network = models.build(name, num_classes=num_classes, **{**settings, **more})
    draw_weights(network, seed)
    return network


def draw_weights(network, seed):
    random = np.random.default_rng(seed)
    for weight in network.weights:
        weight.assign(np.abs(random.normal(0.0, 0.5, weight.shape)))  # variances are positive


def inputs_of(kind):
    if SETTINGS[kind][0] in TEXTS:
        return IDS
    if SETTINGS[kind][0] in SOUNDS:
        return np.random.default_rng(0).normal(size=(4, 15, 12)).astype("float32")
    return np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")


def values(network, inputs):
    return keras.ops.convert_to_numpy(network(inputs))
