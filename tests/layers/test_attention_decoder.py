"""The recurrent decoder against the papers' equations in NumPy, its steps and its masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import AttentionDecoder
from tests.ops import oracles

B, T, S, E, D, UNITS, SPACE = 2, 4, 6, 5, 9, 7, 8
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(B, T, E)).astype("float32")
MEMORY = RANDOM.normal(size=(B, S, D)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 0, 1, 0, 0]], bool)
KINDS = [(order, cell) for order in ("bahdanau", "luong") for cell in ("gru", "lstm")]
every_kind = pytest.mark.parametrize(("order", "cell"), KINDS)


def make(order="bahdanau", cell="gru", memory=MEMORY, **settings):
    """The layer, built, with all weights drawn: no bias is zero."""
    layer = AttentionDecoder(UNITS, order, cell, **settings)
    layer.build(INPUTS.shape, memory.shape)
    random = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(scale=0.5, size=weight.shape))
    return layer


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gru(x, h, kernel, recurrent, bias):
    """Cho et al., arXiv:1406.1078, with the reset after the product, as cuDNN has it."""
    (xz, xr, xh), (hz, hr, hh) = (
        np.split(a, 3) for a in (x @ kernel + bias[0], h @ recurrent + bias[1])
    )
    update = sigmoid(xz + hz)
    return update * h + (1.0 - update) * np.tanh(xh + sigmoid(xr + hr) * hh)


def lstm(x, h, c, kernel, recurrent, bias):
    """Hochreiter and Schmidhuber, 1997, with forget gates (Gers et al., 2000)."""
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


class ClosedForm:
    """The decoder for one sequence of the batch, in float64."""

    def __init__(self, layer):
        self.layer = layer
        self.named = {w.path.split("/", 1)[1]: oracles.numpy(w) for w in layer.weights}

    def dense(self, name, x):
        return x @ self.named[f"{name}/kernel"] + self.named[f"{name}/bias"]

    def score(self, h, k):
        if self.layer.score == "additive":
            keys = self.dense("attention/key", k)
            query = h @ self.named["attention/query/kernel"]
            return np.tanh(query + keys) @ self.named["attention/score_vector"]
        if self.layer.score == "bilinear":
            return h @ self.named["attention/key/kernel"].T @ k
        return h @ k

    def attend(self, h, memory, padding_mask):
        scores = np.array([self.score(h, k) for k in memory]) / self.layer.temperature
        weights = oracles.normalize(self.layer.normalizer, scores, padding_mask)
        return weights @ memory, weights

    def cell(self, x, h, c):
        weights = [self.named[f"cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias")]
        if self.layer.cell == "gru":
            return gru(x, h, *weights), c
        return lstm(x, h, c, *weights)

    def decode(self, inputs, memory, padding_mask):
        memory = memory.astype("float64")
        mean = (
            memory[padding_mask].mean(axis=0) if padding_mask.any() else np.zeros(memory.shape[-1])
        )
        start = np.tanh(self.dense("initial", mean))
        h, c, out = start[:UNITS], start[UNITS:], np.zeros(UNITS)
        outputs, attended = [], []
        for x in inputs.astype("float64"):
            if self.layer.order == "bahdanau":
                context, weights = self.attend(h, memory, padding_mask)
                h, c = self.cell(np.concatenate([x, context]), h, c)
                readout = np.concatenate([h, context, x])
            else:
                h, c = self.cell(np.concatenate([x, out]) if self.layer.input_feeding else x, h, c)
                context, weights = self.attend(h, memory, padding_mask)
                readout = np.concatenate([context, h])
            out = np.tanh(self.dense("readout", readout))
            outputs.append(out)
            attended.append(weights)
        states = {"hidden": h, "carry": c, "output": out}
        return outputs, {name: states[name] for name in self.layer.state_names}, attended


def check(layer, padding_mask=None, memory=MEMORY):
    mask = np.ones((B, S), bool) if padding_mask is None else padding_mask
    rows = [ClosedForm(layer).decode(INPUTS[b], memory[b], mask[b]) for b in range(B)]
    output, states, scores = layer(
        INPUTS, memory, padding_mask=padding_mask, return_state=True, return_attention_scores=True
    )
    assert (tuple(output.shape), tuple(scores.shape)) == ((B, T, UNITS), (B, T, S))
    assert tuple(states) == layer.state_names
    for b, (outputs, last, attended) in enumerate(rows):
        np.testing.assert_allclose(oracles.numpy(output)[b], outputs, atol=1e-5)
        np.testing.assert_allclose(oracles.numpy(scores)[b], attended, atol=1e-5)
        for name, state in last.items():
            np.testing.assert_allclose(oracles.numpy(states[name])[b], state, atol=1e-5)
    without_scores = oracles.numpy(layer(INPUTS, memory, padding_mask=padding_mask))
    np.testing.assert_allclose(without_scores, oracles.numpy(output), atol=1e-5)


@every_kind
@pytest.mark.parametrize("padding_mask", [None, PADDING_MASK])
def test_both_orders_and_cells_are_their_equations(order, cell, padding_mask):
    check(make(order, cell), padding_mask)


@pytest.mark.parametrize(
    "settings",
    [
        {"input_feeding": False},
        {"score": "additive", "attention_units": SPACE, "temperature": 0.4},
        {"score": "dot", "normalizer": "entmax15"},
    ],
)
def test_settings_are_heeded(settings):
    memory = MEMORY[..., :UNITS] if settings.get("score") == "dot" else MEMORY
    layer = make("luong", "lstm", memory, **settings)
    assert layer.attention.units == settings.get("attention_units")
    check(layer, PADDING_MASK, memory)


@every_kind
def test_steps_equal_the_call(order, cell):
    layer = make(order, cell)
    memory, states = layer.prepare(MEMORY, PADDING_MASK), layer.initial_state(MEMORY, PADDING_MASK)
    outputs, scores = [], []
    for t in range(T):
        output, states, weights = layer.step(
            INPUTS[:, t], states, memory, return_attention_scores=True
        )
        outputs.append(oracles.numpy(output))
        scores.append(oracles.numpy(weights))
    expected = layer(INPUTS, MEMORY, PADDING_MASK, return_state=True, return_attention_scores=True)
    np.testing.assert_allclose(np.stack(outputs, 1), oracles.numpy(expected[0]), atol=1e-5)
    np.testing.assert_allclose(np.stack(scores, 1), oracles.numpy(expected[2]), atol=1e-5)
    for name, state in expected[1].items():
        np.testing.assert_allclose(oracles.numpy(states[name]), oracles.numpy(state), atol=1e-5)


@every_kind
def test_a_call_in_two_parts_equals_the_whole(order, cell):
    layer = make(order, cell)
    whole = oracles.numpy(layer(INPUTS, MEMORY, PADDING_MASK))
    first, states = layer(INPUTS[:, :1], MEMORY, PADDING_MASK, return_state=True)
    rest = layer(INPUTS[:, 1:], MEMORY, PADDING_MASK, initial_state=states)
    parts = [oracles.numpy(first), oracles.numpy(rest)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)


def test_a_beam_reorders_memory_and_states_by_gather():
    layer, beams = make("luong", "lstm"), [1, 0, 1]
    memory, states = layer.prepare(MEMORY, PADDING_MASK), layer.initial_state(MEMORY, PADDING_MASK)
    _, states = layer.step(INPUTS[:, 0], states, memory)
    expected = oracles.numpy(layer.step(INPUTS[:, 1], states, memory)[0])[beams]
    states, memory = (
        {name: ops.take(x, beams, axis=0) for name, x in tensors.items()}
        for tensors in (states, memory)
    )
    received, after = layer.step(INPUTS[beams, 1], states, memory)
    np.testing.assert_allclose(oracles.numpy(received), expected, atol=1e-5)
    assert {name: x.shape for name, x in after.items()} == {n: x.shape for n, x in states.items()}


@every_kind
def test_the_future_changes_no_past_and_every_input_matters(order, cell):
    layer = make(order, cell)
    before = oracles.numpy(layer(INPUTS, MEMORY))
    for t in range(T):
        changed = INPUTS.copy()
        changed[:, t] += 1.0
        after = oracles.numpy(layer(changed, MEMORY))
        np.testing.assert_allclose(after[:, :t], before[:, :t], atol=1e-5)
        assert (np.abs(after - before)[:, t:].max(axis=(0, 2)) > 1e-5).all()


@every_kind
def test_padding_changes_nothing_real_and_the_mask_matters(order, cell):
    layer = make(order, cell)
    changed = np.where(PADDING_MASK[..., None], MEMORY, 50.0)
    masked = oracles.numpy(layer(INPUTS, MEMORY, PADDING_MASK))
    again = oracles.numpy(layer(INPUTS, changed.astype("float32"), PADDING_MASK))
    np.testing.assert_allclose(again, masked, atol=1e-5)
    assert not np.allclose(oracles.numpy(layer(INPUTS, MEMORY))[1], masked[1], atol=1e-3)


@every_kind
def test_a_memory_of_padding_alone_is_as_none(order, cell):
    layer = make(order, cell)
    nothing = np.stack([np.zeros(S, bool), np.ones(S, bool)])
    check(layer, nothing)
    states = layer.initial_state(MEMORY, nothing)
    bias = np.tanh(oracles.numpy(layer.initial_dense.bias))[:UNITS]
    np.testing.assert_allclose(oracles.numpy(states["hidden"])[0], bias, atol=1e-5)
    slope = oracles.gradient(lambda m: ops.sum(layer(INPUTS, m, nothing) ** 2), MEMORY)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0], 0.0)


def test_implicit_masks_the_memory_s_is_taken_and_the_inputs_s_carried_on():
    tokens, source = np.array([[1, 2, 3], [4, 0, 0]]), np.array([[3, 1, 2, 4], [2, 1, 0, 0]])
    inputs = keras.layers.Embedding(5, E, mask_zero=True)(tokens)
    memory = keras.layers.Embedding(5, D, mask_zero=True)(source)
    plain = [ops.convert_to_tensor(ops.convert_to_numpy(x)) for x in (inputs, memory)]
    layer = make("luong", "lstm")
    output, scores = layer(inputs, memory, return_attention_scores=True)
    explicit = layer(*plain, padding_mask=source != 0, return_attention_scores=True)
    np.testing.assert_allclose(oracles.numpy(output), oracles.numpy(explicit[0]), atol=1e-5)
    np.testing.assert_allclose(oracles.numpy(scores), oracles.numpy(explicit[1]), atol=1e-5)
    assert not np.allclose(oracles.numpy(output)[1], oracles.numpy(layer(*plain))[1], atol=1e-4)
    for tensor, ids in ((output, tokens), (inputs, tokens), (memory, source)):
        np.testing.assert_array_equal(ops.convert_to_numpy(tensor._keras_mask), ids != 0)
    everything = layer(inputs, memory, padding_mask=np.ones_like(source))
    np.testing.assert_allclose(oracles.numpy(everything), oracles.numpy(layer(*plain)), atol=1e-5)


@every_kind
def test_functional_models_of_unknown_lengths(order, cell):
    inputs, memory = keras.Input((None, E)), keras.Input((None, D))
    padding_mask, layer = keras.Input((None,), dtype="bool"), make(order, cell)
    settings = {"return_state": True, "return_attention_scores": True}
    output, states, scores = layer(inputs, memory, padding_mask=padding_mask, **settings)
    assert (output.shape, scores.shape) == ((None, None, UNITS), (None, None, None))
    assert {name: x.shape for name, x in states.items()} == dict.fromkeys(
        layer.state_names, (None, UNITS)
    )
    again = layer(inputs, memory, padding_mask=padding_mask, initial_state=states)
    model = keras.Model([inputs, memory, padding_mask], [output, scores, again])
    received = model([INPUTS, MEMORY, PADDING_MASK])
    expected, states, scores = layer(INPUTS, MEMORY, PADDING_MASK, **settings)
    again = layer(INPUTS, MEMORY, PADDING_MASK, initial_state=states)
    for a, b in zip(received, [expected, scores, again], strict=True):
        np.testing.assert_allclose(oracles.numpy(a), oracles.numpy(b), atol=1e-5)


@pytest.mark.slow
@every_kind
@pytest.mark.tensorflow
def test_gradients_in_graphs_of_unknown_lengths_and_under_xla(order, cell):
    import tensorflow as tf

    layer = make(order, cell)

    def gradients(inputs, memory, padding_mask):
        with tf.GradientTape() as tape:
            tape.watch([inputs, memory])
            output, scores = layer(inputs, memory, padding_mask, return_attention_scores=True)
            loss = ops.sum(output**2) + ops.sum(scores**3)
        return tape.gradient(loss, [inputs, memory, *layer.trainable_weights])

    tensors = [tf.constant(x) for x in (INPUTS, MEMORY, PADDING_MASK)]
    unknown = [tf.TensorSpec((None,) * (x.ndim - 1) + (y,), x.dtype) for x, y in SPECS]
    eager = gradients(*tensors)
    for function in (
        tf.function(gradients, input_signature=unknown),
        tf.function(gradients, jit_compile=True),
    ):
        for a, b in zip(function(*tensors), eager, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4, rtol=1e-4)


SPECS = [(INPUTS, E), (MEMORY, D), (PADDING_MASK, None)]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@every_kind
def test_mixed_precision_in_calls_and_steps(order, cell, policy):
    exact, layer = make(order, cell), make(order, cell, dtype=policy)
    expected = oracles.numpy(exact(INPUTS, MEMORY, PADDING_MASK))
    output = layer(INPUTS, MEMORY, PADDING_MASK)
    memory, states = layer.prepare(MEMORY, PADDING_MASK), layer.initial_state(MEMORY, PADDING_MASK)
    first, states = layer.step(INPUTS[:, 0], states, memory)
    for x in (output, first, *states.values(), memory["keys"], memory["values"]):
        assert keras.backend.standardize_dtype(x.dtype) == layer.compute_dtype
    np.testing.assert_allclose(oracles.numpy(output), expected, atol=0.1)
    np.testing.assert_allclose(oracles.numpy(first), expected[:, 0], atol=0.1)


def test_dropout_acts_in_training_alone_repeats_by_seed_and_is_one_for_all_steps():
    def outputs(seed):
        layer = make("luong", dropout=0.5, seed=seed)
        return [oracles.numpy(layer(INPUTS, MEMORY, training=mode)) for mode in (True, False)]

    dropped, plain = outputs(1)
    np.testing.assert_allclose(plain, oracles.numpy(make("luong")(INPUTS, MEMORY)), atol=1e-5)
    np.testing.assert_array_equal(outputs(1)[0], dropped)
    assert not np.allclose(outputs(2)[0], dropped)
    zero = dropped == 0.0
    assert 0 < zero[:, 0].sum() < zero[:, 0].size
    np.testing.assert_array_equal(zero, np.broadcast_to(zero[:, :1], zero.shape))
    layer = make("luong", dropout=0.5, seed=1)
    memory, states = layer.prepare(MEMORY, training=True), layer.initial_state(MEMORY)
    for t in range(T):
        output, states = layer.step(INPUTS[:, t], states, memory)
        np.testing.assert_allclose(oracles.numpy(output), dropped[:, t], atol=1e-5)


def test_sublayers_of_one_shape_do_not_start_equal():
    glorot = keras.initializers.GlorotUniform()
    layer = AttentionDecoder(UNITS, score="additive", kernel_initializer=glorot)
    layer(INPUTS, MEMORY[..., :UNITS])
    attention = layer.attention
    pair = [oracles.numpy(x.kernel) for x in (attention.query_dense, attention.key_dense)]
    assert not np.allclose(*pair)


@pytest.mark.slow
def test_a_model_trains():
    inputs, memory = keras.Input((None, E)), keras.Input((S, D))
    decoded = AttentionDecoder(UNITS, dropout=0.1, seed=0)(inputs, memory)
    model = keras.Model([inputs, memory], keras.layers.Dense(1)(decoded))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    target = MEMORY.mean(axis=(1, 2))[:, None, None] + INPUTS.sum(axis=-1, keepdims=True)
    history = model.fit([INPUTS, MEMORY], target, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 0}, r"`units` must be an integer of at least 1"),
        ({"order": "loung"}, r"`order`: received 'loung'\. Did you mean 'luong'"),
        ({"cell": "rnn"}, r"`cell`: received 'rnn'.*Accepted: 'gru', 'lstm'"),
        ({"score": "general"}, r"`score`: received 'general'"),
        ({"attention_units": 0}, r"`attention_units` must be an integer of at least 1"),
        ({"order": "luong", "attention_units": 3}, r"`attention_units` is only for"),
        ({"input_feeding": False}, r"`input_feeding` received False"),
        ({"temperature": -1.0}, r"`temperature` must be positive"),
        ({"dropout": 1.0}, r"`dropout` must be a rate"),
        ({"normalizer": "sofmax"}, r"softmax"),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        AttentionDecoder(**{"units": UNITS, **settings})


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match=r"`memory` must have shape \(batch, length, features\)"):
        AttentionDecoder(UNITS)(INPUTS, MEMORY[:, 0])
    with pytest.raises(
        ValueError, match=r'score="bilinear" and score="additive" compare two sizes'
    ):
        AttentionDecoder(UNITS, score="dot")(INPUTS, MEMORY)
    layer = make("luong", "lstm")
    states = {"hidden": np.zeros((B, UNITS), "float32")}
    for wrong in (
        lambda: layer(INPUTS, MEMORY, initial_state=states),
        lambda: layer.step(INPUTS[:, 0], states, layer.prepare(MEMORY)),
    ):
        with pytest.raises(
            ValueError, match=r"\('hidden', 'carry', 'output'\).*keys \('hidden',\)"
        ):
            wrong()
    with pytest.raises(ValueError, match=r"\(batch, keys\)"):
        layer(INPUTS, MEMORY, padding_mask=PADDING_MASK[:, None])
