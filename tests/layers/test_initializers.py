"""Initializers: what a layer is before it has learned anything."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import ConvBlock
from keras_attn.layers.initializers import Dirac


def drawn(shape, seed=0):
    return ops.convert_to_numpy(Dirac(seed)(shape))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(("channels", "filters"), [(3, 3), (3, 5), (5, 3)])
def test_a_convolution_passes_as_many_channels_on_as_fit(size, channels, filters):
    kernel = drawn((size, size, channels, filters))
    x = np.random.default_rng(0).normal(size=(2, 7, 6, channels)).astype("float32")
    received = ops.convert_to_numpy(
        ops.conv(x, kernel, padding="same", data_format="channels_last")
    )
    same = min(channels, filters)
    np.testing.assert_allclose(received[..., :same], x[..., :same], atol=1e-6)


def test_the_other_filters_are_uniform_and_differ_by_seed():
    kernel = drawn((3, 3, 8, 256))[..., 8:]
    bound = 1 / np.sqrt(9 * 8)
    assert np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert not np.array_equal(kernel, drawn((3, 3, 8, 256), seed=1)[..., 8:])
    np.testing.assert_array_equal(kernel, drawn((3, 3, 8, 256))[..., 8:])


def test_kernels_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"\(height, width, channels, filters\).*\(3, 4\)"):
        Dirac()((3, 4))


def test_it_is_saved_in_a_layers_config():
    block = ConvBlock(4, kernel_initializer=Dirac(), scale=False)
    again = ConvBlock.from_config(block.get_config())
    assert isinstance(again.kernel_initializer, Dirac)
    again.build((None, 6, 6, 2))
    assert [w.name for w in again.trainable_weights] == ["kernel", "beta"]
    assert isinstance(
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Dirac(3))), Dirac
    )
