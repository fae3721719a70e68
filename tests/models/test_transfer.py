"""Trained backbones in networks for other classes."""

import numpy as np
import pytest

from keras_attn import models
from tests.models.small_classifiers import (
    SETTINGS,
    draw_weights,
    every_classifier,
    inputs_of,
    make,
    values,
)


def with_new_head(name, source, num_classes, **settings):
    """Return the architecture for another number of classes, with the backbone of `source`."""
    if "vocabulary_sizes" in settings:
        settings = {"ratio_classes": source.output_shape[-1], **settings}
    target = models.build(name, num_classes=num_classes, **settings)
    models.copy_backbone(source, target)
    return target


def head_parameters(network):
    return sum(layer.count_params() for layer in models.head_layers(network))


@every_classifier
def test_a_copied_backbone_gives_the_same_features_bit_for_bit(kind):
    source, inputs = make(kind), inputs_of(kind)
    target = make(kind, seed=2)
    heads = [layer for layer in models.head_layers(target) if layer.weights]
    before = [weight for layer in heads for weight in layer.get_weights()]
    copied = models.copy_backbone(source, target)
    np.testing.assert_array_equal(
        values(models.backbone(target), inputs), values(models.backbone(source), inputs)
    )
    assert copied.num_parameters == source.count_params() - head_parameters(source)
    assert set(copied.fresh_layers) == {layer.name for layer in heads}
    after = [weight for layer in heads for weight in layer.get_weights()]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)


@every_classifier
@pytest.mark.parametrize("num_classes", [2, 5])
def test_a_network_for_other_classes_keeps_the_features(kind, num_classes):
    name, settings = SETTINGS[kind]
    source, inputs = make(kind), inputs_of(kind)
    target = with_new_head(name, source, num_classes, **settings)
    assert target.output.shape == (None, num_classes)
    np.testing.assert_array_equal(
        values(models.backbone(target), inputs), values(models.backbone(source), inputs)
    )
    for layer in models.head_layers(target):
        if layer.weights:
            kernel = np.asarray(layer.get_weights()[0])
            assert (kernel != 0).all()  # no identity: features stand for other classes
            assert np.abs(kernel).max() < 2
    again = with_new_head(
        name,
        target,
        4,
        **settings,
        **({"ratio_classes": 3} if "vocabulary_sizes" in settings else {}),
    )
    np.testing.assert_array_equal(
        values(models.backbone(again), inputs), values(models.backbone(source), inputs)
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in SETTINGS if "vocabulary_sizes" in SETTINGS[kind][1]]
)
def test_ratio_classes_decide_the_shape_of_the_body_and_num_classes_that_of_the_head(kind):
    source, target = make(kind, 2), make(kind, 5, ratio_classes=2)
    different = {
        layer.name
        for layer, other in zip(source.layers, target.layers, strict=True)
        if [w.shape for w in layer.weights] != [w.shape for w in other.weights]
    }
    assert different == {layer.name for layer in models.head_layers(source) if layer.weights}
    same = make(kind, 2, ratio_classes=2)
    same.set_weights(source.get_weights())
    np.testing.assert_array_equal(values(same, inputs_of(kind)), values(source, inputs_of(kind)))


def test_a_network_for_other_classes_can_be_trained():
    name, settings = SETTINGS["ngram_attention"]
    target = with_new_head(name, make("ngram_attention"), 4, **settings)
    draw_weights(target, 3)
    assert values(target, inputs_of("ngram_attention")).shape == (5, 4)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"stage_filters": (4, 7)},
            r"layer 'stage_2' .* does not fit .*'kernel' has shape \(3, 3, 4, 7\).*\(3, 3, 4, 6\)",
        ),
        ({"batch_norm_scale": False}, "layer 'stem' .* it has 4 weights, and the other 5"),
        ({"stage_filters": (4,), "stage_downsample": ("max",)}, "has no layer 'stage_2'"),
    ],
)
def test_backbones_that_do_not_fit_are_rejected_and_nothing_is_copied(settings, match):
    source, target = make("attention_net"), make("attention_net", seed=2, **settings)
    before = target.get_weights()
    with pytest.raises(ValueError, match=match):
        models.copy_backbone(source, target)
    for weight, old in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("name", ["ngram_attention", "recurrent_attention", "text_transformer"])
def test_impossible_numbers_of_classes_are_refused(name):
    with pytest.raises(ValueError, match="ratio_classes"):
        models.configure(name, ratio_classes=1)


def test_a_backbone_with_another_gain_is_refused():
    sizes = {"vocabulary_sizes": (9, 9)}
    source, target = (
        models.build("ngram_attention", embedding_gain=g, **sizes) for g in (1.0, 9.0)
    )
    before = [np.array(weight) for weight in target.weights]
    with pytest.raises(ValueError, match=r"'ngrams' .* does not fit .*gain is 9\.0, .* 1\.0"):
        models.copy_backbone(source, target)
    for weight, expected in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)
