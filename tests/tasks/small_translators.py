"""A small translator, for tests of what does not depend on its size."""

import keras

from keras_attn import tasks


def new_translator(**settings):
    """Return a translator without subwords, which `adapt` learns from pairs.

    Args:
        **settings: Other settings of the architecture than these.
    """
    keras.utils.set_random_seed(0)
    small = {
        "vocabulary_size": 300,
        "model_dim": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 8,
        "dropout": 0.0,
    }
    return tasks.from_architecture("translation_transformer", **{**small, **settings})
