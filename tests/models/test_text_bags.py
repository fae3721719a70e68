"""Bags of n-grams beside a network, folds of their ratios, and words that are dropped."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.small_text_models import IDS, SIZES, deep, logits_of, make, with_and_without


@with_and_without
@pytest.mark.tensorflow
def test_an_average_over_few_ngrams_counts_less(attention):
    model = make("ngram_attention", attention)
    bias = ops.convert_to_numpy(model.get_layer("logits").bias)

    def vote(number):
        return logits_of(model, np.full((1, number, 2), [[[3, 0]]], "int32"))[0] - bias

    for number in (1, 32, 64, 128):
        np.testing.assert_allclose(vote(number), vote(64) * min(1, number / 64), rtol=1e-4)
    assert np.abs(vote(64)).min() > 1e-2


def branches(model, ids, **call):
    """What the network and the bag answer `(B, 2, C)`, and what the model makes of it."""
    parts = keras.Model(model.input, [model.get_layer("branches").input, model.output])
    return map(ops.convert_to_numpy, parts(ids, **call))


@deep
@with_and_without
def test_a_bag_answers_beside_the_network(name, attention):
    model = make(name, attention, bag=True)
    both, answer = branches(model, IDS)
    np.testing.assert_allclose(answer, both.mean(axis=1), atol=1e-6)
    assert np.abs(both[:3, 0] - both[:3, 1]).min() > 1e-5
    longer = np.pad(IDS, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(logits_of(model, longer), answer, atol=1e-5)
    assert np.isfinite(answer).all()
    bias = ops.convert_to_numpy(model.get_layer("bag_logits").bias)
    np.testing.assert_allclose(both[3:, 1], [bias, bias], atol=1e-6)  # no known n-gram


@pytest.mark.tensorflow
def test_in_training_one_of_both_answers_each_text():
    model = make("recurrent_attention", bag=True)
    ids = np.tile(IDS[:1], (40, 1, 1))
    both, answer = branches(model, ids, training=True)
    taken = np.abs(both - answer[:, None]).max(axis=-1) < 1e-6
    assert (taken.sum(axis=1) == 1).all()
    assert 8 < taken[:, 0].sum() < 32


def test_an_ngram_counts_once_in_the_bag():
    model = make("recurrent_attention", bag=True)
    once = np.array([[[2, 3], [4, 2], [8, 6]]], "int32")
    again = np.array([[[2, 3], [2, 2], [4, 3], [8, 6], [8, 0]]], "int32")
    (first, _), (second, _) = branches(model, once), branches(model, again)
    np.testing.assert_allclose(second[:, 1], first[:, 1], atol=1e-6)
    assert np.abs(second[:, 0] - first[:, 0]).max() > 1e-4


@deep
@pytest.mark.tensorflow
def test_the_network_reads_what_is_frequent_and_the_bag_all(name):
    model = make(name, bag=True, frequent_sizes=(6, 4))
    ids = np.array([[[2, 3], [6, 2], [8, 6], [5, 5]]], "int32")
    other = ids.copy()
    other[0, 1:, 0], other[0, 2:, 1] = (7, 6, 5), (4, 6)
    (first, _), (second, _) = branches(model, ids), branches(model, other)
    np.testing.assert_allclose(second[:, 0], first[:, 0], atol=1e-6)
    assert np.abs(second[:, 1] - first[:, 1]).max() > 1e-4
    other[0, 3, 0] = 4
    changed, _ = branches(model, other)
    assert np.abs(changed[:, 0] - first[:, 0]).max() > 1e-4


@deep
@pytest.mark.tensorflow
def test_ids_of_folds_mean_the_same_outside_of_training(name):
    model = make(name, bag=True, frequent_sizes=(6, 4))
    shifted = np.where(IDS < 2, IDS, IDS + 3 * (np.array(SIZES) - 2)).astype("int32")
    np.testing.assert_allclose(logits_of(model, shifted), logits_of(model, IDS), atol=1e-6)


@pytest.mark.slow
@deep
@pytest.mark.tensorflow
def test_a_model_with_a_bag_comes_back_from_json_and_trains(name):
    model = make(name, bag=True, frequent_sizes=(6, 4), dropout=0.1)
    again = keras.models.model_from_json(json.dumps(json.loads(model.to_json())))
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(logits_of(again, IDS), logits_of(model, IDS), atol=1e-6)
    before = again.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    again.compile("adam", loss)
    again.fit(IDS, np.array([0, 1, 2, 0, 1]), epochs=12, verbose=0)
    for weight, old in zip(again.weights, before, strict=True):
        still = np.array_equal(ops.convert_to_numpy(weight), old)
        assert still == (not weight.trainable), weight.path


@deep
@pytest.mark.tensorflow
def test_word_dropout_drops_words_whole(name):
    model = make(name, word_dropout=0.5)
    layer = model.get_layer("word_dropout")
    features = keras.Model(model.input, [layer.input, layer.output])
    ids = np.tile(IDS[:1], (40, 1, 1))
    before, after = map(ops.convert_to_numpy, features(ids, training=True))
    kept = np.abs(after).max(axis=-1) > 0
    assert 60 < kept.sum() < 140  # of 200
    np.testing.assert_allclose(after, 2 * before * kept[..., None], rtol=1e-5)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, features(ids)))


def test_a_saved_initializer_of_version_0_1_is_recognized():
    saved = {
        "module": "keras_attn.models._texts",
        "class_name": "Adjustments",
        "config": {"zeros": 2, "stddev": 0.1},
        "registered_name": "keras_attn>Adjustments",
    }
    initializer = keras.saving.deserialize_keras_object(saved)
    drawn = ops.convert_to_numpy(initializer((50, 5), "float32"))
    np.testing.assert_array_equal(drawn[:, :2], 0.0)
    assert 0.05 < drawn[:, 2:].std() < 0.2
    assert keras.saving.serialize_keras_object(initializer)["registered_name"] == (
        "keras_attn>Adjustments"
    )
