"""Small translation models, and what they read."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models

V, D, START, END = 23, 8, 1, 2
ARCHITECTURES = models.list_architectures("translation")
TRANSFORMER = {"num_heads": 2, "intermediate_dim": 6, "encoder_layers": 2, "decoder_layers": 2}
# Settings that differ in what a decoder's state holds, beside those of every test.
KINDS = {
    "transformer": ("translation_transformer", TRANSFORMER),
    "bahdanau": ("recurrent_translator", {"units": 6}),
    "luong": (
        "recurrent_translator",
        {"units": D, "encoder_layers": 2, "order": "luong", "cell": "lstm"},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
# Every call compiles for seconds on JAX: there Bahdanau's order stands for both.
ON_JAX = keras.backend.backend() == "jax"
both = pytest.mark.parametrize("kind", ["transformer", "bahdanau"])
kinds = both if ON_JAX else every_kind

SOURCE = np.array([[5, 6, 7, 8, 2], [9, 4, 2, 0, 0], [3, 2, 0, 0, 0]], "int32")
TARGET = np.array([[1, 8, 9, 4], [1, 7, 0, 0], [1, 6, 5, 0]], "int32")
REAL = TARGET != 0
B, S, T = *SOURCE.shape, TARGET.shape[1]


def make(kind, **more):
    """A small model with all weights drawn, so that nothing that it reads is nearly zero."""
    name, settings = KINDS[kind]
    model = models.build(name, **{"vocabulary_size": V, "model_dim": D, **settings, **more})
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0.0, 0.4, weight.shape))
    return model


def logits_of(model, source=SOURCE, target=TARGET, **call):
    return ops.convert_to_numpy(model({"source": source, "target": target}, **call))


def same(received, expected, atol=1e-5):
    np.testing.assert_allclose(received, expected, atol=atol)


def wider(ids, by=3):
    return np.pad(ids, ((0, 0), (0, by)))
