"""Architectures: what they are made of, and what they refuse."""

import numpy as np
import pytest
from keras import ops

from keras_attn import models
from keras_attn.explain import cost
from keras_attn.ops import NORMALIZERS

ARCHITECTURES = sorted(models.IMAGE_ARCHITECTURES)  # tests of the others are beside this


def test_every_architecture_is_of_one_kind():
    kinds = (
        models.IMAGE_ARCHITECTURES,
        models.TEXT_ARCHITECTURES,
        models.TRANSLATION_ARCHITECTURES,
    )
    assert sorted(models.ARCHITECTURES) == sorted(name for kind in kinds for name in kind)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_defaults_build_and_give_logits(name):
    model = models.build(name, num_classes=7)
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32")
    logits = ops.convert_to_numpy(model(images))
    assert logits.shape == (3, 7)
    assert np.isfinite(logits).all()


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
    config = models.ARCHITECTURES[name][0]
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
    ],
)
def test_impossible_settings_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        models.build("attention_net", **settings)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_global_data_format_changes_nothing(name):
    import keras

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


def test_unknown_architecture_suggests_a_near_one():
    with pytest.raises(ValueError, match="Did you mean 'attention_net'"):
        models.build("attention-net")


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
    import keras

    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, keras.layers.SimpleRNN(2)(inputs))
    with pytest.raises(TypeError, match="SimpleRNN"):
        cost(model)
