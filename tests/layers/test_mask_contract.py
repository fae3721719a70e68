"""The contract of masks, over every layer that reads a sequence and over stacks of them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers

B, T, D = 3, 6, 8
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(B, T, D)).astype("float32")
TOKENS = np.array([[3, 1, 2, 4, 1, 2], [2, 1, 4, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
PADDING_MASK = TOKENS != 0
SOME = PADDING_MASK.any(axis=1)

# name -> (constructor, call of the layer on a sequence, its mask and whether it is causal)
SEQUENCE = {
    "Attention": (
        layers.Attention,
        lambda layer, x, mask, causal: layer(x, x, padding_mask=mask, use_causal_mask=causal),
    ),
    "Attention additive": (
        lambda: layers.Attention("additive", units=5),
        lambda layer, x, mask, causal: layer(x, x, padding_mask=mask, use_causal_mask=causal),
    ),
    "MultiHeadAttention": (
        lambda: layers.MultiHeadAttention(2, 4, num_kv_heads=1, position="rotary"),
        lambda layer, x, mask, causal: layer(x, x, padding_mask=mask, use_causal_mask=causal),
    ),
    "MultiHeadAttention windowed": (
        lambda: layers.MultiHeadAttention(2, 4, window=3, position="alibi", normalizer="softmax1"),
        lambda layer, x, mask, causal: layer(x, x, padding_mask=mask, use_causal_mask=causal),
    ),
    "TransformerEncoderBlock": (
        lambda: layers.TransformerEncoderBlock(2, 12),
        lambda layer, x, mask, causal: layer(x, padding_mask=mask, use_causal_mask=causal),
    ),
    "TransformerEncoderBlock post-norm": (
        lambda: layers.TransformerEncoderBlock(2, 12, normalize_first=False, position="relative"),
        lambda layer, x, mask, causal: layer(x, padding_mask=mask, use_causal_mask=causal),
    ),
}
DECODERS = {
    "TransformerDecoderBlock": lambda: layers.TransformerDecoderBlock(2, 12),
    "AttentionDecoder bahdanau": lambda: layers.AttentionDecoder(D),
    "AttentionDecoder luong": lambda: layers.AttentionDecoder(D, order="luong", cell="lstm"),
}
every_sequence = pytest.mark.parametrize("name", SEQUENCE)
every_decoder = pytest.mark.parametrize("name", DECODERS)


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def garbage(x, padding_mask, scale=50.0):
    """Return `x` with other numbers at padding."""
    other = scale * np.random.default_rng(9).normal(size=x.shape).astype("float32")
    return np.where(padding_mask[..., None], x, other)


def stack_of(name, depth):
    make, call = SEQUENCE[name]
    stacked = [make() for _ in range(depth)]

    def run(x, mask=None, causal=False):
        for layer in stacked:
            x = call(layer, x, mask, causal)
        return array(x)

    return run


@pytest.mark.parametrize("depth", [1, 2, 3])
@every_sequence
def test_padding_changes_no_real_position(name, depth):
    run = stack_of(name, depth)
    expected, changed = run(X, PADDING_MASK), run(garbage(X, PADDING_MASK), PADDING_MASK)
    np.testing.assert_allclose(changed[PADDING_MASK], expected[PADDING_MASK], atol=2e-5)
    assert np.isfinite(expected).all()
    unmasked = run(garbage(X, PADDING_MASK)) - run(X)
    assert np.abs(unmasked[PADDING_MASK]).max() > 1e-2


@pytest.mark.parametrize("depth", [1, 2, 3])
@every_sequence
def test_the_future_changes_no_past(name, depth):
    run = stack_of(name, depth)
    late = garbage(X, np.broadcast_to(np.arange(T) < 4, (B, T)))
    expected, changed = run(X, causal=True), run(late, causal=True)
    np.testing.assert_allclose(changed[:, :4], expected[:, :4], atol=2e-5)
    free = run(late) - run(X)
    assert np.abs(free[:, :4]).max() > 1e-2


@pytest.mark.parametrize("name", ["Attention", "Attention additive", "TransformerEncoderBlock"])
def test_without_positions_order_changes_nothing_but_the_order(name):
    run = stack_of(name, 2)
    order = np.random.default_rng(1).permutation(T)
    np.testing.assert_allclose(
        run(X[:, order], PADDING_MASK[:, order]), run(X, PADDING_MASK)[:, order], atol=2e-5
    )


@every_decoder
def test_a_padded_memory_changes_nothing_through_two_decoders(name):
    first, second = DECODERS[name](), DECODERS[name]()
    argument = "memory_padding_mask" if "Transformer" in name else "padding_mask"

    def run(memory, mask):
        return array(second(first(X, memory, **{argument: mask}), memory, **{argument: mask}))

    memory = RANDOM.normal(size=(B, T, 5)).astype("float32")
    expected, changed = run(memory, PADDING_MASK), run(garbage(memory, PADDING_MASK), PADDING_MASK)
    np.testing.assert_allclose(changed, expected, atol=2e-5)
    assert np.abs(run(garbage(memory, PADDING_MASK), None) - run(memory, None)).max() > 1e-2


@every_decoder
def test_later_inputs_change_no_earlier_output_of_two_decoders(name):
    first, second = DECODERS[name](), DECODERS[name]()
    late = garbage(X, np.broadcast_to(np.arange(T) < 4, (B, T)), scale=5.0)
    expected, changed = (array(second(first(x, X), X)) for x in (X, late))
    np.testing.assert_allclose(changed[:, :4], expected[:, :4], atol=2e-5)
    assert np.abs(changed[:, 4:] - expected[:, 4:]).max() > 1e-3


def test_pooling_does_not_see_padding():
    layer = layers.AttentionPooling(num_heads=2)
    expected, changed = (
        array(layer(x, padding_mask=PADDING_MASK)) for x in (X, garbage(X, PADDING_MASK))
    )
    np.testing.assert_allclose(changed, expected, atol=2e-5)
    assert np.abs(array(layer(garbage(X, PADDING_MASK))) - expected).max() > 1e-2


def test_embedded_ids_carry_no_mask_and_padding_of_them_changes_nothing():
    ids = np.stack([TOKENS, TOKENS % 3], axis=-1)
    embedding = layers.NGramEmbedding((5, 4), (5, 3), embeddings_initializer="normal")
    block, pool = layers.TransformerEncoderBlock(2, 12), layers.AttentionPooling(num_heads=2)

    def run(ids, masked=True):
        x = embedding(ids)
        assert getattr(x, "_keras_mask", None) is None
        padding_mask = ids[:, :, 0] != 0 if masked else None
        return array(pool(block(x, padding_mask=padding_mask), padding_mask=padding_mask))

    longer = np.pad(ids, ((0, 0), (0, 4), (0, 0)))
    assert not array(embedding(longer))[:, T:].any()
    assert np.isfinite(run(ids)).all()
    np.testing.assert_allclose(run(longer), run(ids), atol=2e-5)
    assert np.abs(run(longer, masked=False) - run(ids, masked=False)).max() > 1e-3


def test_a_row_of_padding_alone_is_exactly_zero_or_the_bias():
    layer = layers.Attention()
    assert not array(layer(X, X, padding_mask=PADDING_MASK))[~SOME].any()
    layer = layers.MultiHeadAttention(2, 4, use_bias=False)
    assert not array(layer(X, X, padding_mask=PADDING_MASK))[~SOME].any()


@pytest.mark.tensorflow
@every_sequence
def test_gradients_are_finite_and_padding_gets_none(name):
    import tensorflow as tf

    make, call = SEQUENCE[name]
    first, second = make(), make()
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(second, call(first, x, PADDING_MASK, False), PADDING_MASK, False)
        loss = tf.reduce_sum(tf.where(PADDING_MASK[..., None], y * X, 0.0))
    gradients = [
        array(tf.convert_to_tensor(g))
        for g in tape.gradient(loss, [x, *first.trainable_weights, *second.trainable_weights])
    ]
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(gradients[0][~PADDING_MASK], 0.0, atol=1e-6)
    assert np.abs(gradients[0][PADDING_MASK]).max() > 1e-4


# Keras's implicit mask, and the caller's own.


def embedded_stack(name, depth=2):
    """Tokens -> embedding that masks 0 -> layers, without a word about masks."""
    make, call = SEQUENCE[name]
    tokens = keras.Input((T,), dtype="int32")
    x = keras.layers.Embedding(5, D, mask_zero=True)(tokens)
    for _ in range(depth):
        x = call(make(), x, None, False)
    return keras.Model(tokens, x)


@pytest.mark.slow
@every_sequence
def test_the_implicit_mask_survives_a_stack_in_predict(name):
    model = embedded_stack(name)
    assert model.output._keras_mask is not None
    expected = array(model(TOKENS))
    table = model.layers[1]
    weights = table.get_weights()[0]
    weights[0] = 50.0
    table.set_weights([weights])
    for got in (array(model(TOKENS)), model.predict(TOKENS, verbose=0)):
        np.testing.assert_allclose(got[PADDING_MASK], expected[PADDING_MASK], atol=2e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
@every_sequence
def test_the_implicit_mask_holds_in_a_graph_and_a_saved_model(name, tmp_path):
    import tensorflow as tf

    model = embedded_stack(name)
    expected = array(model(TOKENS))
    graph = tf.function(model)
    np.testing.assert_allclose(graph(tf.constant(TOKENS, "int32")), expected, atol=2e-5)
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    # Other padding, alone in its row, leaves the unpadded positions as they are.
    for tokens in (TOKENS, TOKENS[:2]):
        got = array(served.serve(tf.constant(tokens, "float32" if _is_float(model) else "int32")))
        rows = PADDING_MASK[: len(tokens)]
        np.testing.assert_allclose(got[rows], expected[: len(tokens)][rows], atol=2e-5)


def _is_float(model):
    return "float" in model.inputs[0].dtype


@every_sequence
def test_the_callers_mask_is_unharmed(name):
    make, call = SEQUENCE[name]
    x = keras.layers.Embedding(5, D, mask_zero=True)(TOKENS)
    before = x._keras_mask
    explicit = np.ones((B, T), bool)
    call(make(), x, explicit, False)
    call(make(), x, None, True)
    assert x._keras_mask is before
    np.testing.assert_array_equal(array(x._keras_mask), PADDING_MASK)
    assert explicit.all()


@every_sequence
def test_an_explicit_mask_goes_before_the_implicit_one(name):
    make, call = SEQUENCE[name]
    layer = make()
    x = keras.layers.Embedding(5, D, mask_zero=True)(TOKENS)
    plain = ops.convert_to_tensor(array(x))
    everything = np.ones((B, T), bool)
    np.testing.assert_allclose(
        array(call(layer, x, everything, False)), array(call(layer, plain, None, False)), atol=1e-6
    )


@pytest.mark.parametrize(
    "layer",
    [layers.Attention(), layers.MultiHeadAttention(2, 4), layers.TransformerEncoderBlock(2, 12)],
    ids=lambda x: x.name,
)
def test_a_padding_mask_given_as_attention_mask_is_refused(layer):
    inputs = (X,) if "encoder" in layer.name else (X, X)
    with pytest.raises(ValueError, match="is a `padding_mask`"):
        layer(*inputs, attention_mask=PADDING_MASK)
