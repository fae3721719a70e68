"""The causal Transformer: steps equal the whole, and no token sees the future."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import beam_search, greedy, sample
from keras_attn.models import build

IDS = np.array([[1, 5, 6, 7, 8, 9, 10, 11, 12], [1, 9, 9, 3, 4, 0, 0, 0, 0]], "int32")


def make(attention="softmax", **settings):
    keras.utils.set_random_seed(0)
    defaults = {"vocabulary_size": 30, "context_length": 4, "model_dim": 16, "num_heads": 2}
    defaults |= {"num_layers": 2, "intermediate_dim": 32}
    return build("causal_transformer", attention=attention, **{**defaults, **settings})


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


attentions = pytest.mark.parametrize("attention", ["softmax", "none", "sigmoid"])


@attentions
def test_steps_with_a_cache_give_the_logits_of_the_whole(attention):
    model = make(attention)
    expected = numpy(model(IDS))
    for beams in (1, 3):
        length = IDS.shape[1]
        state = model.start(np.zeros((2, 1), "int32"), beams, length)
        for index in range(length):
            ids = ops.convert_to_tensor(np.repeat(IDS[:, index : index + 1], beams, axis=1))
            logits, state = model.step(ids, state, ops.convert_to_tensor(index))
            for beam in range(beams):
                # Rows of padding have no meaning, and all others must agree.
                np.testing.assert_allclose(numpy(logits)[:, beam], expected[:, index], atol=2e-5)


@attentions
def test_later_tokens_change_no_earlier_logits(attention):
    model = make(attention)
    changed = IDS.copy()
    changed[:, 5:] = 20
    before, after = numpy(model(IDS)), numpy(model(changed))
    np.testing.assert_allclose(after[:, :5], before[:, :5], atol=1e-6)
    assert np.abs(after[0, 5:] - before[0, 5:]).max() > 1e-3


@attentions
def test_logits_depend_on_the_receptive_field_alone(attention):
    model = make(attention, num_layers=2, context_length=4)
    assert model.receptive_field == (None if attention == "none" else 7)
    last = IDS.shape[1] - 1
    first = last - 6
    before = numpy(model(IDS))[0, last]
    for place, depends in ((first - 1, attention == "none"), (first, True)):
        changed = IDS.copy()
        changed[:, place] = 20
        difference = np.abs(numpy(model(changed))[0, last] - before).max()
        assert (difference > 1e-5) == depends, difference


def test_a_token_attends_to_the_context_alone():
    model = make(num_layers=1)  # with several layers information comes from farther away
    changed = IDS.copy()
    changed[:, 1] = 20
    before, after = numpy(model(IDS)), numpy(model(changed))
    assert np.abs(after[0, 4] - before[0, 4]).max() > 1e-4  # the fourth token back is the last seen
    np.testing.assert_allclose(after[0, 5:], before[0, 5:], atol=1e-6)
    (scores,) = model.attention_scores(IDS)
    weights = numpy(scores)[0]
    distance = np.arange(9)[:, None] - np.arange(9)
    assert (weights[:, (distance < 0) | (distance >= 4)] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)


def test_reordered_beams_continue_their_parents():
    model = make()
    ids = np.array([[5, 6, 7], [8, 9, 10]], "int32")
    start = np.full((2, 3), 1, "int32")
    state = model.start(np.zeros((2, 1), "int32"), 3, 4)
    _, state = model.step(ops.convert_to_tensor(start), state, ops.convert_to_tensor(0))
    _, state = model.step(ops.convert_to_tensor(ids), state, ops.convert_to_tensor(1))
    parents = np.array([[2, 0, 0], [1, 1, 2]], "int32")
    state = model.reorder(state, ops.convert_to_tensor(parents))
    following = ops.convert_to_tensor(np.full((2, 3), 12, "int32"))
    logits, _ = model.step(following, state, ops.convert_to_tensor(2))
    for row in range(2):
        for beam in range(3):
            history = np.array([[1, ids[row, parents[row, beam]], 12]])
            expected = numpy(model(history))[0, 2]
            np.testing.assert_allclose(numpy(logits)[row, beam], expected, atol=2e-5)


@attentions
def test_searches_run_and_agree(attention):
    model = make(attention)
    source, options = np.zeros((2, 1), "int32"), {"max_length": 7, "start_id": 1, "end_id": 2}
    best = numpy(greedy(model, source, **options).ids)
    np.testing.assert_array_equal(
        numpy(beam_search(model, source, num_beams=1, **options).ids), best
    )
    uniform = np.random.default_rng(0).random((2, 3, 8)).astype("float32")
    first, second = (
        numpy(sample(model, source, num_return=3, uniform=uniform, **options).ids) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match=r"`uniform` numbers.*Received: both"):
        sample(model, source, uniform=uniform, seed=1, **options)


@attentions
def test_it_is_saved_and_counts_its_operations(attention, tmp_path):
    model = make(attention)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy(loaded(IDS)), numpy(model(IDS)))
    assert model.flops(8) > 2 * 8 * (model.count_params() - 30 * 16 - 5 * 16)


@pytest.mark.parametrize(
    "settings", [{"model_dim": 15}, {"model_dim": 6, "num_heads": 2}, {"attention": "x"}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"model_dim|attention"):
        make(**settings)
