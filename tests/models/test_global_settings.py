"""Global settings of Keras, which users set for other models, change no answer."""

import keras
import numpy as np
import pytest

from keras_attn import models
from keras_attn.layers import MultiHeadAttention
from keras_attn.tasks import from_architecture
from tests.models.small_text_models import SIZES, SMALL
from tests.tasks.small_translators import new_translator


@pytest.fixture
def channels_first():
    before = keras.config.image_data_format()
    yield lambda: keras.config.set_image_data_format("channels_first")
    keras.config.set_image_data_format(before)


@pytest.fixture
def floatx(request):
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_floatx(before)


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_text_models_do_not_depend_on_the_order_of_channels(architecture, channels_first):
    settings = {"vocabulary_sizes": SIZES, **SMALL[architecture]}
    if architecture != "ngram_attention":
        settings["bag"] = True
    model = models.build(architecture, num_classes=2, **settings)
    orders = model.input_shape[-1]
    ids = np.random.default_rng(0).integers(0, 4, (3, 7, orders)).astype("int32")
    expected = keras.ops.convert_to_numpy(model(ids))
    channels_first()
    other = models.build(architecture, num_classes=2, **settings)
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(other(ids)), expected, atol=1e-6)


def test_image_models_do_not_depend_on_the_order_of_channels(channels_first):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 36, 3)).astype("uint8")
    model = from_architecture("small_attention_cnn", ("a", "b"))
    expected = model.logits(images)
    channels_first()
    other = from_architecture("small_attention_cnn", ("a", "b"))
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.logits(images), expected, atol=1e-5)


@pytest.mark.parametrize("floatx", ["float16", "float64"], indirect=True)
def test_causal_attention_and_caches_work_in_other_default_precisions(floatx):
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(floatx)
    layer = MultiHeadAttention(2, 4, position="rotary")
    whole = layer(x, x, use_causal_mask=True)
    cache = layer.make_cache(2, 5)
    steps = []
    for index in range(5):
        new = x[:, index : index + 1]
        mask = np.arange(5)[None] <= np.full((2, 1), index)
        step, cache = layer(new, new, padding_mask=mask, cache=cache, cache_index=index)
        steps.append(keras.ops.convert_to_numpy(step))
    tolerance = 2e-2 if floatx == "float16" else 1e-6
    np.testing.assert_allclose(np.concatenate(steps, 1), whole, atol=tolerance)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("floatx", ["float64"], indirect=True)
def test_a_translator_works_in_float64(floatx):
    model = new_translator(vocabulary_size=330, model_dim=16, intermediate_dim=16)
    model.adapt(["a dog runs .", "two dogs run ."], ["un chien court .", "deux chiens courent ."])
    found = model.translate(["a dog runs .", "two dogs ."], beam_size=2)
    assert np.isfinite([answer.score for answer in found]).all()
    assert np.isfinite(model.score(["a dog runs .", "two dogs ."], ["un chien .", "deux ."])).all()
