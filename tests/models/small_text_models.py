"""Small text models, and what they read."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models

SIZES, CLASSES = (9, 7), 3
SMALL = {
    "ngram_attention": {"embedding_dim": 2, "key_dim": 4},
    "recurrent_attention": {"embedding_dim": 3, "units": 4, "attention_units": 5},
    "text_transformer": {
        **{"embedding_dim": 3, "model_dim": 8, "num_layers": 1, "num_heads": 2},
        "intermediate_dim": 6,
    },
}
NORMALIZERS = ("softmax", "softmax1", "sigmoid", "normalized_sigmoid")
# A long text, two shorter ones, one of unknown words alone, and one of nothing.
IDS = np.array(
    [
        [[2, 3], [4, 2], [1, 5], [8, 6], [3, 0]],
        [[5, 2], [6, 0], [0, 0], [0, 0], [0, 0]],
        [[7, 1], [1, 4], [2, 0], [0, 0], [0, 0]],
        [[1, 1], [1, 0], [0, 0], [0, 0], [0, 0]],
        [[0, 0], [0, 0], [0, 0], [0, 0], [0, 0]],
    ],
    "int32",
)
LENGTHS = (IDS[:, :, 0] != 0).sum(axis=1)
deep = pytest.mark.parametrize("name", ["recurrent_attention", "text_transformer"])
every_model = pytest.mark.parametrize("name", sorted(SMALL))
# Every graph compiles for seconds on JAX: there the models with attention stand for all.
ON_JAX = keras.backend.backend() == "jax"
with_and_without = pytest.mark.parametrize("attention", ["softmax", "none"][: 1 if ON_JAX else 2])


def make(name, attention="softmax", **more):
    """A small model with all weights drawn, so that nothing that it reads is nearly zero."""
    settings = {"vocabulary_sizes": SIZES, "num_classes": CLASSES, **SMALL[name], **more}
    model = models.build(name, attention=attention, **settings)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.normal(0.0, 0.5, weight.shape))
    return model


def logits_of(model, ids):
    return ops.convert_to_numpy(model(ids))
