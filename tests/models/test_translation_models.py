"""Translation models by ids alone: masks, causality, a search's steps, saving, training."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models
from keras_attn.decoding import beam_search
from keras_attn.explain import cost
from keras_attn.models import TranslationModel
from keras_attn.tasks import SequenceCrossentropy, compile_mode

V, D, START, END = 23, 8, 1, 2
ARCHITECTURES = sorted(models.TRANSLATION_ARCHITECTURES)
TRANSFORMER = {"num_heads": 2, "intermediate_dim": 6, "encoder_layers": 2, "decoder_layers": 2}
# Settings that differ in what a decoder's state holds, beside those of every test.
KINDS = {
    "transformer": ("translation_transformer", TRANSFORMER),
    "bahdanau": ("recurrent_translator", {"units": 6}),
    "luong": (
        "recurrent_translator",
        {"units": D, "encoder_layers": 2, "order": "luong", "cell": "lstm"},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
# Every call compiles for seconds on JAX: there Bahdanau's order stands for both.
ON_JAX = keras.backend.backend() == "jax"
both = pytest.mark.parametrize("kind", ["transformer", "bahdanau"])
kinds = both if ON_JAX else every_kind

SOURCE = np.array([[5, 6, 7, 8, 2], [9, 4, 2, 0, 0], [3, 2, 0, 0, 0]], "int32")
TARGET = np.array([[1, 8, 9, 4], [1, 7, 0, 0], [1, 6, 5, 0]], "int32")
REAL = TARGET != 0
B, S, T = *SOURCE.shape, TARGET.shape[1]


def make(kind, **more):
    """A small model with all weights drawn, so that nothing that it reads is nearly zero."""
    name, settings = KINDS[kind]
    model = models.build(name, **{"vocabulary_size": V, "model_dim": D, **settings, **more})
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0.0, 0.4, weight.shape))
    return model


def logits_of(model, source=SOURCE, target=TARGET, **call):
    return ops.convert_to_numpy(model({"source": source, "target": target}, **call))


def same(received, expected, atol=1e-5):
    np.testing.assert_allclose(received, expected, atol=atol)


def wider(ids, by=3):
    return np.pad(ids, ((0, 0), (0, by)))


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
    monkeypatch.setattr(TranslationModel, "real", everything)
    moved = np.abs(logits_of(model) - expected)
    same(moved[0], 0.0)  # the source without padding
    assert moved[1:].max(axis=-1)[REAL[1:]].min() > 1e-3


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


@kinds
def test_attention_scores_are_of_real_keys_alone(kind):
    model = make(kind)
    scores = model.attention_scores({"source": SOURCE, "target": TARGET})
    assert list(scores) == (["encoder", "decoder", "cross"] if kind == "transformer" else ["cross"])
    heads, layers = (2, 2) if kind == "transformer" else (1, 1)
    queries_and_keys = {
        "encoder": (SOURCE, SOURCE),
        "decoder": (TARGET, TARGET),
        "cross": (TARGET, SOURCE),
    }
    for name, weights in scores.items():
        queries, keys = queries_and_keys[name]
        assert len(weights) == layers
        for layer in map(ops.convert_to_numpy, weights):
            assert layer.shape == (B, heads, queries.shape[1], keys.shape[1])
            of_real = layer.transpose(0, 2, 1, 3)[queries != 0]  # (real queries, heads, keys)
            same(of_real.sum(axis=-1), 1.0)
            hidden = np.broadcast_to((keys == 0)[:, None], (*queries.shape, keys.shape[1]))
            if name == "decoder":
                hidden = hidden | np.triu(np.ones((T, T), bool), 1)
            hidden = np.broadcast_to(hidden[queries != 0][:, None], of_real.shape)
            np.testing.assert_array_equal(of_real[hidden], 0.0)
            assert of_real[~hidden].min() > 0.0


@kinds
def test_steps_of_reordered_beams_are_the_call_on_each_beams_own_past(kind):
    model, beams, length = make(kind), 3, 6
    random = np.random.default_rng(3)
    past = np.full((B, beams, 1), START, "int32")
    state = model.start(SOURCE, beams, length)
    for index in range(length):
        logits, state = model.step(
            ops.convert_to_tensor(past[:, :, -1]), state, ops.convert_to_tensor(index, "int32")
        )
        assert tuple(logits.shape) == (B, beams, V)
        sources, targets = np.repeat(SOURCE, beams, axis=0), past.reshape(B * beams, -1)
        expected = logits_of(model, sources, wider(targets, length - 1 - index))[:, index]
        same(ops.convert_to_numpy(logits).reshape(B * beams, V), expected)
        parents = random.integers(0, beams, (B, beams)).astype("int32")
        state = model.reorder(state, ops.convert_to_tensor(parents))
        tokens = random.integers(3, V, (B, beams, 1)).astype("int32")
        past = np.concatenate(
            [np.take_along_axis(past, parents[:, :, None], axis=1), tokens], axis=-1
        )


@kinds
def test_a_beam_search_gives_the_log_probabilities_of_a_call(kind):
    model = make(kind)
    found = beam_search(
        model, SOURCE, num_beams=3, num_return=2, max_length=5, start_id=START, end_id=END
    )
    ids = ops.convert_to_numpy(found.ids)
    assert ids.shape == (B, 2, 6)
    assert (ids != ids[:, ::-1]).any(axis=-1).all()
    read = np.concatenate([np.full((B, 2, 1), START), ids[:, :, :-1]], axis=-1)
    logits = logits_of(model, np.repeat(SOURCE, 2, axis=0), read.reshape(B * 2, 6))
    chances = ops.convert_to_numpy(ops.log_softmax(logits)).reshape(B, 2, 6, V)
    taken = np.take_along_axis(chances, ids[..., None], axis=-1)[..., 0]
    expected = np.where(ids != 0, taken, 0.0).sum(axis=-1)
    same(ops.convert_to_numpy(found.log_probabilities), expected, atol=1e-4)


@every_kind
@pytest.mark.tensorflow
def test_graphs_of_steps_hold_core_operations_alone(kind):
    import tensorflow as tf

    model, beams = make(kind), 3
    sizes = (None, None), (None, beams)

    @tf.function(input_signature=[tf.TensorSpec(size, tf.int32) for size in sizes])
    def two_steps(source, ids):
        logits, state = model.step(ids, model.start(source, beams, 4), tf.constant(0))
        state = model.reorder(state, tf.cast(ops.argmax(logits, axis=-1), tf.int32) % beams)
        return model.step(ids, state, tf.constant(1))[0]

    definition = two_steps.get_concrete_function().graph.as_graph_def()
    nodes = [*definition.node, *(x for f in definition.library.function for x in f.node_def)]
    assert not [node.op for node in nodes if node.op.startswith("Xla")]
    ids = np.full((B, beams), 4, "int32")
    same(two_steps(SOURCE, ids), two_steps.python_function(SOURCE, ids))


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


@every_kind
@pytest.mark.tensorflow
def test_gradients_in_graphs_of_unknown_lengths(kind):
    import tensorflow as tf

    model = make(kind, dropout=0.0)

    def gradients(source, target):
        with tf.GradientTape() as tape:
            loss = ops.mean(model({"source": source, "target": target}, training=True) ** 2)
        return [tf.convert_to_tensor(x) for x in tape.gradient(loss, model.trainable_variables)]

    unknown = [tf.TensorSpec((None, None), tf.int32)] * 2
    graph = tf.function(gradients, input_signature=unknown)
    tensors = tf.constant(SOURCE), tf.constant(TARGET)
    for received, expected in zip(graph(*tensors), gradients(*tensors), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5, rtol=1e-4)


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
