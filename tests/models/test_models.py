"""Architectures: what they are made of, and what they refuse."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers, models
from keras_attn.ops import NORMALIZERS
from keras_attn.profiling import cost

ARCHITECTURES = models.list_architectures("image_classification")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_defaults_build_and_give_logits(name):
    model = models.build(name, num_classes=7)
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32")
    logits = ops.convert_to_numpy(model(images))
    assert logits.shape == (3, 7)
    assert np.isfinite(logits).all()


GATES = {
    "squeeze_excite": layers.SqueezeExcite,
    "efficient_channel": layers.EfficientChannelAttention,
    "cbam": layers.CBAM,
}


@pytest.mark.parametrize("name", ["attention_net", "small_attention_cnn"])
@pytest.mark.parametrize("kind", GATES)
def test_gates_can_replace_attention(name, kind):
    model = models.build(name, attention=kind)
    assert type(model.get_layer("attention")) is GATES[kind]
    logits = ops.convert_to_numpy(model(np.ones((2, 32, 32, 3), "float32")))
    assert np.isfinite(logits).all()


def test_attention_follows_the_stage_that_is_named():
    settings = {"stage_filters": (4, 8, 16), "stage_downsample": ("max", "max", "max")}
    for stage, shape in ((1, (16, 16, 4)), (2, (8, 8, 8)), (None, (4, 4, 16))):
        model = models.build("attention_net", attention_stage=stage, **settings)
        assert model.get_layer("attention").output.shape[1:] == shape


def test_plain_blocks_are_two_convolutions_and_begin_by_passing_their_input_on():
    model = models.build(
        "attention_net",
        block="plain",
        stem="whitening",
        stage_filters=(24,),
        stage_downsample=("none",),
        kernel_initializer="dirac",
        batch_norm_scale=False,
        attention="none",
    )
    x = np.random.default_rng(0).uniform(0.0, 1.0, (2, 32, 32, 24)).astype("float32")[:, :31, :31]
    for name in ("stage_1_first", "stage_1"):
        block = model.get_layer(name)
        assert [w.name for w in block.trainable_weights] == ["kernel", "beta"]
        received = ops.convert_to_numpy(block.convolution(x))
        np.testing.assert_allclose(received, x, atol=1e-6)


@pytest.mark.slow
def test_the_compact_transformer_sees_the_order_of_its_tokens():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(1, 64, 128)).astype("float32")
    order = rng.permutation(64)
    for position, equal in ((None, True), ("embedding", False)):
        model = models.build("compact_transformer", position=position)
        head = keras.Model(model.get_layer("tokens").output, model.output)
        moved, plain = (ops.convert_to_numpy(head(x)) for x in (tokens[:, order], tokens))
        assert np.allclose(moved, plain, atol=1e-4) == equal


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["none", *NORMALIZERS])
def test_every_attention_can_be_chosen(name, kind):
    model = models.build(name, attention=kind)
    names = [layer.name for layer in model.layers]
    assert ("attention" in names) == (kind != "none")
    if kind != "none":
        assert model.get_layer("attention").normalizer == kind


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_kinds_that_a_config_accepts_are_the_normalizers(name):
    config = models.describe_architecture(name).config
    for kind in NORMALIZERS:
        assert config(attention=kind).attention == kind


def test_attention_net_runs_by_the_book():
    # The shortcut is projected where channels change, and the head fits the map, whatever
    # the stages: the two things that published versions get wrong.
    model = models.build(
        "attention_net",
        image_size=48,
        stage_filters=(4, 4, 8),
        stage_downsample=("none", "stride", "average"),
    )
    shapes = [tuple(model.get_layer(f"stage_{i}").output.shape[1:]) for i in (1, 2, 3)]
    assert shapes == [(48, 48, 4), (24, 24, 4), (12, 12, 8)]
    assert model.get_layer("attention").output.shape[1:] == (12, 12, 8)
    projected = [model.get_layer(f"stage_{i}").projection is not None for i in (1, 2, 3)]
    assert projected == [True, False, True]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"atention": "softmax"}, "atention"),
        ({"attention": "sofmax"}, "normalized_sigmoid"),
        ({"num_classes": 1}, "num_classes"),
        ({"stage_filters": (8, 16)}, "one value a stage"),
        ({"stage_filters": (8, 0, 16)}, "stage_filters"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum"),
        ({"attention_stage": 4}, "number of a stage, 1 to 3.*4"),
        ({"image_size": 8, "stem": "whitening", "stage_downsample": ("max",) * 3}, "7 x 7.*Halve"),
        ({"block": "plain", "stage_downsample": ("max", "stride", "none")}, '"plain"'),
    ],
)
def test_impossible_settings_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        models.build("attention_net", **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"tokenizer_pools": (True,)}, "one value a convolution"),
        ({"num_heads": 3}, "3 heads of 128 features"),
        (
            {"tokenizer_filters": (8,) * 6, "tokenizer_pools": (True,) * 6, "num_heads": 2},
            "halved 6 times .* leave no token",
        ),
    ],
)
def test_impossible_compact_transformers_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        models.build("compact_transformer", **settings)


def test_cost_of_a_compact_transformer_is_the_hand_count():
    model = models.build(
        "compact_transformer",
        tokenizer_filters=(8, 16),
        num_layers=2,
        num_heads=2,
        intermediate_dim=24,
        pool_dim=4,
    )
    tokenizer = 32 * 32 * 9 * 3 * 8 + 16 * 16 * 9 * 8 * 16
    block = 64 * 16 * 16 * 4 + 2 * 64 * 64 * 16 + 2 * 64 * 16 * 24
    pool = 64 * 16 * 4 + 64 * (4 + 16)
    assert cost(model).flops == 2 * (tokenizer + 2 * block + pool + 16 * 10)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.slow
def test_the_global_data_format_changes_nothing(name):
    keras.config.set_image_data_format("channels_first")
    try:
        model = models.build(name)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert model.count_params() == models.build(name).count_params()
    shapes, expected = (
        [layer.output.shape for layer in one.layers] for one in (model, models.build(name))
    )
    assert shapes == expected


def test_configs_do_not_change():
    config = models.AttentionNetConfig()
    with pytest.raises(AttributeError):
        config.num_classes = 3


def test_cost_is_the_hand_count():
    model = models.build("small_attention_cnn", num_classes=4, filters=(8, 16), key_channels=4)
    convolutions = 32 * 32 * 9 * 3 * 8 + 16 * 16 * 9 * 8 * 16
    projections = 64 * 16 * (4 + 4 + 8) + 64 * 8 * 16
    products = 64 * 64 * (4 + 8)
    head = 16 * 4
    assert cost(model).flops == 2 * (convolutions + projections + products + head)
    assert cost(model).parameters == model.count_params()


def test_cost_of_a_residual_stage_is_the_hand_count():
    model = models.build(
        "attention_net",
        stem="whitening",
        stage_filters=(8,),
        stage_downsample=("max",),
        attention="none",
    )
    whitening = 31 * 31 * 4 * 3 * 24
    stage = 31 * 31 * 9 * 24 * 8 + 15 * 15 * 9 * 8 * 8 + 15 * 15 * 24 * 8
    assert cost(model).flops == 2 * (whitening + stage + 8 * 10)


def test_cost_refuses_layers_that_it_does_not_know():
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, keras.layers.SimpleRNN(2)(inputs))
    with pytest.raises(TypeError, match="SimpleRNN"):
        cost(model)
