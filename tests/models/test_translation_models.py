"""Translation models by ids alone: masks, causality, a search's steps, saving, training."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models
from keras_attn.models import TranslationModel
from keras_attn.profiling import cost
from keras_attn.tasks import SequenceCrossentropy, compile_mode
from tests.models.small_translators import (
    ARCHITECTURES,
    END,
    KINDS,
    REAL,
    SOURCE,
    START,
    TARGET,
    B,
    D,
    S,
    T,
    V,
    both,
    every_kind,
    kinds,
    logits_of,
    make,
    same,
    wider,
)


def test_every_translation_architecture_is_here():
    assert {name for name, _ in KINDS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.tensorflow
def test_defaults_read_ids_of_any_length_and_give_float32_logits(name):
    model = models.build(name, vocabulary_size=V)
    assert model.name == name
    for source, target in ((1, 1), (6, 4)):
        ids = {"source": np.ones((2, source), "int32"), "target": np.ones((2, target), "int32")}
        logits = model(ids)
        assert tuple(logits.shape) == (2, target, V)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(ops.convert_to_numpy(logits)).all()
    symbolic = {key: keras.Input((None,), dtype="int32") for key in ("source", "target")}
    assert model(symbolic).shape == (None, None, V)


@kinds
def test_padding_changes_nothing_real(kind):
    model = make(kind)
    expected = logits_of(model)
    received = logits_of(model, wider(SOURCE), wider(TARGET))
    assert received.shape == (B, T + 3, V)
    same(received[:, :T][REAL], expected[REAL])


@pytest.mark.slow
@every_kind
@pytest.mark.tensorflow
def test_a_batch_is_its_pairs_one_by_one_and_in_predict(kind):
    model = make(kind)
    expected = logits_of(model)
    model.compile(jit_compile=False)  # there is no step to save the time of compiling
    padded = model.predict({"source": wider(SOURCE), "target": wider(TARGET)}, verbose=0)
    same(padded[:, :T][REAL], expected[REAL])
    for row in range(B):
        source, target = (ids[row : row + 1, : (ids[row] != 0).sum()] for ids in (SOURCE, TARGET))
        same(logits_of(model, source, target)[0], expected[row, REAL[row]])


@every_kind
@pytest.mark.tensorflow
def test_a_mask_switched_off_changes_the_output(kind, monkeypatch):
    model = make(kind)
    expected = logits_of(model)
    everything = staticmethod(lambda ids: ops.ones_like(ids, "bool"))
    monkeypatch.setattr(TranslationModel, "padding_mask", everything)
    moved = np.abs(logits_of(model) - expected)
    same(moved[0], 0.0)  # the source without padding
    assert moved[1:].max(axis=-1)[REAL[1:]].min() > 1e-3


@pytest.mark.slow
@every_kind
@pytest.mark.tensorflow
def test_the_target_is_read_causally_and_the_source_from_both_sides(kind):
    model = make(kind)
    expected = logits_of(model)
    for place in range(1, T):
        changed = TARGET.copy()
        changed[0, place] += 7
        moved = np.abs(logits_of(model, SOURCE, changed) - expected).max(axis=-1)
        same(moved[0, :place], 0.0)
        same(moved[1:], 0.0)
        assert moved[0, place:].min() > 1e-4
    for place in range(S):
        changed = SOURCE.copy()
        changed[0, place] += 7
        moved = np.abs(logits_of(model, changed) - expected).max(axis=-1)
        same(moved[1:], 0.0)
        assert moved[0].min() > 1e-4


@every_kind
@pytest.mark.tensorflow
def test_source_target_and_output_share_one_table(kind):
    model = make(kind)
    tables = [w for w in model.weights if V in w.shape]
    assert [tuple(w.shape) for w in tables] == [(V, D)]
    assert tables[0] is model.embedding.embeddings
    table, logits = ops.convert_to_numpy(tables[0]), logits_of(model).reshape(-1, V)
    states = np.linalg.lstsq(table, logits.T)[0].T  # what the table is multiplied by
    same(states @ table.T, logits, atol=1e-4)


def test_parameters_of_a_transformer_are_the_hand_count():
    d, ff, layers = 128, 256, 4
    attention, feed_forward, norm = 4 * (d + 1) * d, (d + 1) * ff + (ff + 1) * d, 2 * d
    encoder = layers * (attention + feed_forward + 2 * norm) + norm
    decoder = layers * (2 * attention + feed_forward + 3 * norm) + norm
    model = models.build("translation_transformer", vocabulary_size=5000)
    assert model.count_params() == 5000 * d + encoder + decoder == 1_965_568


@pytest.mark.parametrize(
    ("cell", "gates", "biases", "states"), [("gru", 3, 2, 1), ("lstm", 4, 1, 2)]
)
@pytest.mark.parametrize("order", ["bahdanau", "luong"])
def test_parameters_of_a_recurrent_translator_are_the_hand_count(
    order, cell, gates, biases, states
):
    d, units, compared = 8, 6, 5
    memory, bahdanau = 2 * units, order == "bahdanau"
    more = {"attention_units": compared} if bahdanau else {}
    settings = {"vocabulary_size": V, "model_dim": d, "units": units, "encoder_layers": 2, **more}
    model = models.build("recurrent_translator", order=order, cell=cell, **settings)
    encoder = sum(2 * gates * units * (read + units + biases) for read in (d, memory))
    fed = d + (memory if bahdanau else units)
    decoder = gates * units * (fed + units + biases) + (memory + 1) * states * units
    decoder += (units + memory + d * bahdanau + 1) * units
    attention = (
        units * compared + (memory + 1) * compared + compared if bahdanau else memory * units
    )
    assert model.count_params() == V * d + encoder + decoder + attention + (units + 1) * d


def test_outputs_of_the_size_of_an_embedding_are_not_projected():
    projected, bare = make("bahdanau"), make("bahdanau", units=D)
    assert tuple(projected.output_dense.kernel.shape) == (6, D)
    assert bare.output_dense is None


@pytest.mark.slow
@every_kind
def test_flops_are_those_of_the_layers(kind):
    model, source, target = make(kind), 7, 5
    x, y = keras.Input((source, D)), keras.Input((target, D))
    if kind == "transformer":
        memory = functools.reduce(lambda a, block: block(a), model.encoder, x)
        states = functools.reduce(lambda a, block: block(a, memory), model.decoder, y)
    else:
        memory = functools.reduce(lambda a, layer: layer(a), model.encoder, x)
        states = model.decoder(y, memory)
        states = states if model.output_dense is None else model.output_dense(states)
    layers = cost(keras.Model([x, y], states)).flops
    assert model.flops(source, target) == layers + 2 * target * D * V
    assert isinstance(model.flops(7.5, 5.25), int)


@pytest.mark.slow
@kinds
def test_a_model_comes_back_from_its_config_and_from_a_file(kind, tmp_path):
    model = make(kind, dropout=0.25)
    expected = logits_of(model)
    again = type(model).from_config(model.get_config())
    assert again.config == model.config
    assert again.config.dropout == 0.25
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")  # before any call
    same(logits_of(again), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    same(logits_of(loaded), expected, atol=1e-6)


@kinds
def test_a_model_keeps_its_precision_and_whether_it_is_trained(kind):
    model = type(make(kind))(make(kind).config, dtype="mixed_bfloat16", trainable=False)
    again = type(model).from_config(model.get_config())
    for one in (model, again):
        assert one.dtype_policy.name == "mixed_bfloat16"
        assert not one.trainable
        computed = {layer.compute_dtype for layer in one._flatten_layers(include_self=False)}
        assert computed == {"bfloat16"}


@pytest.mark.slow
@every_kind
@pytest.mark.tensorflow
def test_dropout_acts_in_training_alone(kind):
    plain, dropped = make(kind, dropout=0.0), make(kind, dropout=0.5)
    same(logits_of(dropped), logits_of(plain))
    same(logits_of(plain, training=True), logits_of(plain))
    in_training = logits_of(dropped, training=True)
    assert np.isfinite(in_training).all()
    assert np.abs(in_training - logits_of(plain)).max() > 1e-2


@pytest.mark.parametrize("attention", ["softmax1", "sigmoid", "normalized_sigmoid"])
@both
@pytest.mark.tensorflow
def test_every_normalizer_runs_and_differs(kind, attention):
    model = make(kind, attention=attention)
    logits = logits_of(model)
    same(logits_of(model, wider(SOURCE)), logits)
    assert np.abs(logits - logits_of(make(kind))).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({}, {"score": "additive", "attention_units": 6}),
        ({"attention_units": 3}, {"score": "additive", "attention_units": 3}),
        ({"score": "bilinear"}, {"score": "bilinear", "attention_units": None}),
        ({"order": "luong"}, {"score": "bilinear", "input_feeding": True}),
        ({"order": "luong", "score": "additive"}, {"score": "additive", "order": "luong"}),
        ({"order": "luong", "input_feeding": False}, {"input_feeding": False}),
        ({"cell": "lstm"}, {"cell": "lstm", "cell_states": ("hidden", "carry")}),
    ],
)
@pytest.mark.tensorflow
def test_settings_of_a_recurrent_translator_reach_its_decoder(settings, received):
    model = make("bahdanau", **settings)
    assert {name: getattr(model.decoder, name) for name in received} == received
    same(logits_of(model, wider(SOURCE)), logits_of(model))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_kind
@pytest.mark.tensorflow
def test_logits_are_float32_in_mixed_precision(kind, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = make(kind)
    finally:
        keras.config.set_dtype_policy("float32")
    logits, expected = logits_of(model), logits_of(make(kind))
    assert model.encode(SOURCE)[0].dtype == policy.removeprefix("mixed_")
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, expected, atol=0.3, rtol=0.05)
    state = model.start(SOURCE, 2, 3)
    stepped, after = model.step(ops.full((B, 2), START, "int32"), state, 0)
    assert stepped.dtype == "float32"
    np.testing.assert_allclose(stepped[:, 0], expected[:, 0], atol=0.3, rtol=0.05)
    keras.tree.map_structure(lambda a, b: same(a.dtype == b.dtype, True), after, state)


@pytest.mark.slow
@both
def test_it_learns_to_copy(kind):
    keras.utils.set_random_seed(0)
    name, settings = KINDS[kind]
    sizes = {"vocabulary_size": V, "model_dim": 16, "dropout": 0.0, "encoder_layers": 1}
    sizes |= {"decoder_layers": 1} if kind == "transformer" else {}
    model = models.build(name, **{**settings, **sizes})
    text = np.random.default_rng(0).integers(3, V, (64, 4)).astype("int32")
    ends = np.full((64, 1), END, "int32")
    text[:16, 3], ends[:16] = END, 0  # some are shorter
    source = np.concatenate([text, ends], axis=1)
    target = np.concatenate([np.full((64, 1), START, "int32"), text], axis=1)
    target[:16, 4] = 0
    before = model.embedding.get_weights()[0]
    model.compile(keras.optimizers.Adam(0.02), SequenceCrossentropy(), jit_compile=compile_mode())
    inputs = {"source": source, "target": target}
    losses = model.fit(inputs, source, batch_size=32, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert losses[0] < 2 * np.log(V)  # it begins with no opinion
    assert not np.array_equal(model.embedding.get_weights()[0], before)


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("translation_transformer", {"num_heads": 3}, "multiple of `num_heads`.*3 heads"),
        ("translation_transformer", {"model_dim": 9, "num_heads": 3}, "must be even.*9 features"),
        ("translation_transformer", {"attention_dropout": -0.1}, "attention_dropout"),
        ("recurrent_translator", {"units": 0}, "units"),
        ("recurrent_translator", {"order": "loung"}, "order: .*loung"),
        ("recurrent_translator", {"cell": "rnn"}, "cell: .*rnn"),
        ("recurrent_translator", {"score": "dot"}, "score: .*dot"),
        ("recurrent_translator", {"input_feeding": False}, "`input_feeding`.*order='luong'"),
        ("recurrent_translator", {"attention_units": 0}, "attention_units"),
        (
            "recurrent_translator",
            {"order": "luong", "attention_units": 8},
            "attention_units=8 with score='bilinear'",
        ),
    ],
)
def test_impossible_settings_of_one_are_refused(name, settings, match):
    with pytest.raises(ValueError, match=match):
        models.configure(name, **settings)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"model_dims": 8}, "model_dims.*model_dim"),
        ({"vocabulary_size": 3}, "vocabulary_size"),
        ({"model_dim": -1}, "model_dim"),
        ({"encoder_layers": 0}, "encoder_layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"attention": "sparsemax"}, "attention: .*sparsemax"),
    ],
)
def test_impossible_settings_are_refused(name, settings, match):
    with pytest.raises(ValueError, match=match):
        models.configure(name, **settings)
