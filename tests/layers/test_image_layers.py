"""Self-attention over feature maps, convolution blocks and input statistics."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import (
    ConvBlock,
    ImageNormalization,
    PatchWhitening,
    ResidualBlock,
    SelfAttention2D,
)
from tests.ops import oracles

RANDOM = np.random.default_rng(0)
MAP = RANDOM.normal(size=(2, 3, 5, 16)).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_2d_is_its_closed_form(heads):
    layer = SelfAttention2D(num_heads=heads, gamma_initializer="ones", use_bias=True)
    output, scores = layer(MAP, return_attention_scores=True)
    sequence = MAP.reshape(2, 15, 16).astype("float64")

    def project(convolution, x):
        kernel, bias = (numpy(w).astype("float64") for w in convolution.weights)
        return x @ kernel[0, 0] + bias

    query, key, value = (
        project(c, sequence) for c in (layer.query_conv, layer.key_conv, layer.value_conv)
    )
    attended, expected_scores = [], []
    for q, k, v in zip(*(np.split(x, heads, axis=-1) for x in (query, key, value)), strict=True):
        exponentials = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]))
        expected_scores.append(exponentials / exponentials.sum(-1, keepdims=True))
        attended.append(expected_scores[-1] @ v)
    expected = sequence + project(layer.output_conv, np.concatenate(attended, axis=-1))
    np.testing.assert_allclose(numpy(scores), np.stack(expected_scores, 1), atol=1e-5)
    np.testing.assert_allclose(numpy(output), expected.reshape(MAP.shape), atol=1e-4)


def test_downsampled_self_attention_2d_has_the_greatest_keys_and_values_of_each_square():
    layer = SelfAttention2D(num_heads=2, downsample=2, gamma_initializer="ones")
    output, scores = layer(MAP, return_attention_scores=True)
    batch, height, width, _ = MAP.shape
    rows, columns = height // 2, width // 2
    assert tuple(scores.shape) == (batch, 2, height * width, rows * columns)

    def pooled(convolution):
        x = (MAP @ numpy(convolution.kernel)[0, 0])[:, : 2 * rows, : 2 * columns]
        x = x.reshape(batch, rows, 2, columns, 2, -1).max(axis=(2, 4))
        return x.reshape(batch, rows * columns, 2, -1)

    query = (MAP @ numpy(layer.query_conv.kernel)[0, 0]).reshape(batch, height * width, 2, -1)
    expected, weights = oracles.attention(query, pooled(layer.key_conv), pooled(layer.value_conv))
    np.testing.assert_allclose(numpy(scores), weights, atol=1e-5)
    attended = expected.reshape(batch, height, width, -1) @ numpy(layer.output_conv.kernel)[0, 0]
    np.testing.assert_allclose(numpy(output), MAP + attended, atol=1e-4)
    symbolic = layer(keras.KerasTensor(MAP.shape), return_attention_scores=True)
    assert [tuple(x.shape) for x in symbolic] == [MAP.shape, tuple(scores.shape)]


def test_a_map_too_small_to_downsample_is_refused():
    with pytest.raises(ValueError, match="needs sides of at least that many positions"):
        SelfAttention2D(downsample=8)(MAP)


def test_self_attention_2d_starts_as_the_identity():
    np.testing.assert_array_equal(numpy(SelfAttention2D()(MAP)), MAP)


def test_self_attention_2d_does_not_know_positions():
    layer = SelfAttention2D(gamma_initializer="ones")
    flipped = numpy(layer(MAP[:, ::-1, ::-1].copy()))
    np.testing.assert_allclose(flipped[:, ::-1, ::-1], numpy(layer(MAP)), atol=1e-5)


def test_self_attention_2d_reaches_the_far_corner():
    layer = SelfAttention2D(gamma_initializer="ones")
    changed = MAP.copy()
    changed[:, -1, -1] += 1.0
    assert np.abs(numpy(layer(changed) - layer(MAP))[:, 0, 0]).max() > 1e-4


def test_key_channels_are_an_eighth_and_at_least_one():
    layer = SelfAttention2D()
    layer.build((None, 4, 4, 5))
    assert layer.query_conv.filters == 1
    layer = SelfAttention2D(num_heads=4)
    layer.build((None, 4, 4, 72))
    assert (layer.query_conv.filters, layer.value_conv.filters) == (12, 36)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of `num_heads`"):
        SelfAttention2D(key_channels=10, num_heads=4)


@pytest.mark.parametrize("layer", [SelfAttention2D(), ConvBlock(4), ResidualBlock(4)])
def test_inputs_that_are_not_feature_maps_are_refused(layer):
    with pytest.raises(ValueError, match="height, width, channels"):
        layer(np.ones((2, 5, 3), "float32"))


@pytest.mark.parametrize(
    "layer", [ConvBlock(4, pool="max"), ConvBlock(4, padding="valid"), ResidualBlock(4, "average")]
)
def test_maps_of_which_nothing_would_be_left_are_refused(layer):
    with pytest.raises(ValueError, match=r"the output of inputs .*1, 5, 3.* is empty"):
        layer(np.ones((2, 1, 5, 3), "float32"))


def test_conv_block_is_its_parts():
    block = ConvBlock(6, pool="average", activation="relu")
    block(MAP)
    statistics = [RANDOM.uniform(0.5, 1.5, 6).astype("float32") for _ in range(4)]
    block.normalization.set_weights(statistics)
    gamma, beta, mean, variance = statistics
    convolved = numpy(ops.conv(MAP, block.convolution.kernel, padding="same"))
    pooled = convolved[:, :2, :4].reshape(2, 1, 2, 2, 2, 6).mean(axis=(2, 4))
    expected = (pooled - mean) / np.sqrt(variance + block.epsilon) * gamma + beta
    np.testing.assert_allclose(numpy(block(MAP)), np.maximum(expected, 0), atol=1e-4)


@pytest.mark.parametrize("downsample", [None, "max", "average", "stride"])
@pytest.mark.parametrize("filters", [4, 9])
def test_residual_blocks_project_when_the_shape_changes(downsample, filters):
    x = RANDOM.normal(size=(2, 8, 6, 4)).astype("float32")
    block = ResidualBlock(filters, downsample=downsample)
    sides = (8, 6) if downsample is None else (4, 3)
    assert tuple(block(x).shape) == (2, *sides, filters)
    assert (block.projection is None) == (filters == 4)


def test_residual_block_is_its_shortcut_where_the_residual_is_nothing():
    x = RANDOM.normal(size=(2, 8, 6, 4)).astype("float32")
    block = ResidualBlock(4, activation=None)
    block(x)
    gamma = block.second.normalization.gamma
    gamma.assign(np.zeros(gamma.shape))
    np.testing.assert_allclose(numpy(block(x)), x, atol=1e-6)


def test_strided_residual_block_refuses_odd_sides():
    with pytest.raises(ValueError, match="even sides"):
        ResidualBlock(4, downsample="stride")(np.ones((1, 7, 8, 4), "float32"))


def test_unknown_pool_is_refused():
    with pytest.raises(ValueError, match="'max', 'average'"):
        ConvBlock(4, pool="maximum")


def test_normalization_learns_mean_and_deviation():
    images = RANDOM.integers(0, 256, (50, 4, 5, 3)).astype("uint8")
    layer = ImageNormalization()
    layer.adapt(images)
    normalized = numpy(layer(images))
    np.testing.assert_allclose(normalized.mean((0, 1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(normalized.std((0, 1, 2)), 1.0, atol=1e-5)


def test_whitened_patches_are_uncorrelated_with_unit_variance():
    noise = RANDOM.normal(size=(200, 9, 9, 3)).astype("float32")
    images = noise + np.roll(noise, 1, axis=1) + 2 * noise[..., :1]
    layer = PatchWhitening(kernel_size=2, epsilon=0.0)
    layer.adapt(images)
    responses = numpy(layer(images)).reshape(-1, 24)
    covariance = np.cov(responses[:, :12], rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(12), atol=1e-3)
    np.testing.assert_allclose(responses[:, 12:], -responses[:, :12], atol=1e-5)


def test_whitening_is_frozen_but_for_its_bias():
    layer = PatchWhitening()
    layer(np.ones((1, 4, 4, 3), "float32"))
    assert [weight.name for weight in layer.trainable_weights] == ["bias"]
    kernel = numpy(layer.kernel).reshape(12, 24)
    np.testing.assert_allclose(kernel[:, :12].T @ kernel[:, :12], np.eye(12), atol=1e-5)


def test_adapted_statistics_survive_saving(tmp_path):
    inputs = keras.Input((6, 6, 3))
    whitening = PatchWhitening()
    model = keras.Model(inputs, whitening(ImageNormalization()(inputs)))
    images = RANDOM.integers(0, 256, (50, 6, 6, 3)).astype("uint8")
    model.layers[1].adapt(images)
    whitening.adapt(numpy(model.layers[1](images)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(again(images)), numpy(model(images)))
