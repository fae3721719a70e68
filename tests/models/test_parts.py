"""Backbones and heads: where a network is cut, what is shared, and what cannot be cut."""

import keras
import numpy as np
import pytest

from keras_attn import models
from keras_attn.layers import AttentionPooling, BranchMean, NGramEmbedding
from tests.models.small_classifiers import (
    SETTINGS,
    TEXTS,
    WIDTHS,
    every_classifier,
    inputs_of,
    make,
    values,
)

HEADS = {
    "attention_net": ["head", "logits"],
    "compact_transformer": ["head"],
    "recurrent_attention with a bag": ["bag_logits", "branches", "logits"],
    "text_transformer with a bag": ["bag_logits", "branches", "logits"],
}


def test_every_classifier_architecture_is_here():
    classifiers = {name for name in models.list_architectures() if "classif" in task_of(name)}
    assert {name for name, _ in SETTINGS.values()} == classifiers


def task_of(name):
    return models.describe_architecture(name).task


@every_classifier
def test_logits_are_the_head_of_the_features_of_the_backbone(kind):
    network, inputs = make(kind), inputs_of(kind)
    backbone, head = models.backbone(network), models.head(network)
    assert backbone.output.shape == (None, WIDTHS[kind])
    assert keras.backend.is_float_dtype(backbone.output.dtype)
    features = values(backbone, inputs)
    assert features.shape == (len(inputs), WIDTHS[kind])
    np.testing.assert_array_equal(values(head, features), values(network, inputs))


@every_classifier
def test_head_layers_are_those_from_the_features_on(kind):
    network = make(kind)
    layers = models.head_layers(network)
    assert sorted(layer.name for layer in layers) == HEADS.get(kind, ["logits"])
    assert layers[-1] is network.layers[-1]
    of_backbone = models.backbone(network).layers
    assert not set(map(id, layers)) & set(map(id, of_backbone))
    shared = [layer for layer in network.layers if layer not in layers]
    assert {id(layer) for layer in shared} <= set(map(id, of_backbone))


@every_classifier
def test_a_network_from_a_file_has_the_same_parts(kind, tmp_path):
    network, inputs = make(kind), inputs_of(kind)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(
        values(models.backbone(loaded), inputs), values(models.backbone(network), inputs)
    )
    names, expected = (
        [layer.name for layer in models.head_layers(one)] for one in (loaded, network)
    )
    assert names == expected


@pytest.mark.slow
@every_classifier
@pytest.mark.tensorflow
def test_a_frozen_backbone_does_not_change_in_training(kind):
    network, inputs = make(kind), inputs_of(kind)
    backbone = models.backbone(network)
    backbone.trainable = False
    trained = {id(w) for layer in models.head_layers(network) for w in layer.weights}
    assert {id(weight) for weight in network.trainable_weights} == trained
    before = network.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    network.fit(inputs, np.arange(len(inputs)) % 3, epochs=4, verbose=0)
    for weight, old in zip(network.weights, before, strict=True):
        still = np.array_equal(keras.ops.convert_to_numpy(weight), old)
        assert still == (id(weight) not in trained), weight.path


def test_a_network_of_a_user_is_cut_before_its_last_layer_with_weights():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(6, activation="relu")(keras.layers.Dropout(0.5)(x))
    outputs = keras.layers.Softmax()(keras.layers.Dense(3)(x) * 2.0)
    network = keras.Model(inputs, outputs)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    features = values(models.backbone(network), images)
    assert features.shape == (2, 6)
    np.testing.assert_array_equal(values(models.head(network), features), values(network, images))
    assert [type(layer).__name__ for layer in models.head_layers(network)] == ["Dense", "Softmax"]


def test_a_sequential_network_has_parts_too():
    layers = [keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dense(3)]
    network = keras.Sequential(layers)
    rows = np.ones((2, 4), "float32")
    features = values(models.backbone(network), rows)
    assert features.shape == (2, 5)
    np.testing.assert_array_equal(values(models.head(network), features), values(network, rows))
    assert models.head_layers(network) == [layers[2]]


def test_branches_that_read_the_same_features_read_them_once():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5)(inputs)
    network = keras.Model(inputs, keras.layers.Dense(3)(x) - keras.layers.Dense(3)(x))
    rows = np.ones((2, 4), "float32")
    features = values(models.backbone(network), rows)
    assert features.shape == (2, 5)
    np.testing.assert_array_equal(values(models.head(network), features), values(network, rows))
    assert len(models.head_layers(network)) >= 2


def embeddings_of(network):
    return [layer.name for layer in network.layers if isinstance(layer, NGramEmbedding)]


@pytest.mark.parametrize("kind", [kind for kind, (name, _) in SETTINGS.items() if name in TEXTS])
def test_the_ngram_embedding_of_a_text_network_is_that_of_all_orders(kind):
    network = make(kind)
    assert models.ngram_embedding(network) is network.get_layer("ngrams")
    assert embeddings_of(network) == ["ngrams"] or set(embeddings_of(network)) == {
        "ngrams",
        "words",
    }


def test_the_ngram_embedding_is_the_first_with_ratios_or_else_the_first():
    ids = keras.Input((None, 1), dtype="int32")
    plain, other = (NGramEmbedding((5,), (2,)) for _ in range(2))
    ratios = NGramEmbedding((5,), (2,), num_ratios=2)
    x = other(keras.ops.cast(plain(ids), "int32")[..., :1])
    assert models.ngram_embedding(keras.Model(ids, x)) is plain
    x = ratios(keras.ops.cast(x, "int32")[..., :1])
    assert models.ngram_embedding(keras.Model(ids, x)) is ratios
    with pytest.raises(ValueError, match=r"has no NGramEmbedding layer.*tokenizer_1"):
        models.ngram_embedding(make("compact_transformer"))


@every_classifier
def test_the_attention_pooling_of_a_network_is_the_one_that_feeds_its_head(kind):
    network = make(kind)
    pooling = models.attention_pooling(network)
    if kind in ("attention_net", "small_attention_cnn"):
        assert pooling is None  # positions attend to each other, and a maximum pools them
    else:
        assert pooling is network.get_layer("attention")
        assert models.attention_pooling(make(kind, attention="none")) is None
    models.head(network)  # adds calls of the head's layers, and changes nothing
    assert models.attention_pooling(network) is pooling


def test_of_several_attention_poolings_the_nearest_to_the_output_is_taken():
    inputs = keras.Input((4, 3, 2))
    rows = keras.layers.TimeDistributed(AttentionPooling())(inputs)
    first = AttentionPooling(num_queries=3)
    last, uniform = AttentionPooling(), AttentionPooling(score="uniform")
    x = first(rows)
    logits = keras.layers.Dense(2)(keras.layers.Dense(3)(last(x)))
    assert models.attention_pooling(keras.Model(inputs, logits)) is last
    logits = keras.layers.Dense(2)(uniform(x))
    assert models.attention_pooling(keras.Model(inputs, logits)) is first
    assert models.attention_pooling(keras.Model(inputs, last(x))) is last  # without a head


def test_the_only_attention_pooling_of_a_bag_is_taken():
    inputs = keras.Input((4, 3))
    average, bag = keras.layers.GlobalAveragePooling1D()(inputs), AttentionPooling()
    branches = [keras.layers.Dense(2)(average), keras.layers.Dense(2)(bag(inputs))]
    network = keras.Model(inputs, BranchMean()(keras.ops.stack(branches, axis=1)))
    assert models.attention_pooling(network) is bag


def convolutional():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(inputs)))


def without_weights():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Softmax()(inputs))


def with_two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])


def with_a_layer_on_both_sides():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(4, name="shared")
    return keras.Model(inputs, dense(dense(inputs)))


def with_a_shortcut_around_the_head():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="features")(inputs)
    return keras.Model(inputs, x + keras.layers.Dense(3)(x))


def subclassed():
    class Network(keras.Model):
        pass

    return Network()


@pytest.mark.parametrize(
    ("make_network", "match"),
    [
        (convolutional, r"'conv2d\S*', must read .*\(B, F\).*\(None, 8, 8, 3\)"),
        (without_weights, "no layer has weights"),
        (with_two_outputs, "one output.*with 2 outputs"),
        (with_a_layer_on_both_sides, "'shared' both computes features and reads them"),
        (with_a_shortcut_around_the_head, "'features' both computes features and reads them"),
        (subclassed, "functional or sequential model"),
    ],
)
def test_a_network_without_a_classification_head_is_rejected(make_network, match):
    network = make_network()
    for function in (models.backbone, models.head, models.head_layers):
        with pytest.raises(ValueError, match=match):
            function(network)


def test_a_translator_has_no_classification_head():
    network = models.build("recurrent_translator", vocabulary_size=9, model_dim=4, units=4)
    with pytest.raises(ValueError, match="functional or sequential model"):
        models.backbone(network)
