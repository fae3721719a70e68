"""Mask arguments: which values, dtypes and shapes the layers accept, and how they combine."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers
from keras_attn.ops._mask_values import check_mask_values

B, T, D = 2, 4, 6
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(B, T, D)).astype("float32")
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)

# name -> (constructor, inputs of a call)
LAYERS = {
    "Attention": (layers.Attention, (X, X)),
    "Attention additive": (lambda: layers.Attention("additive", units=3), (X, X)),
    "AttentionDecoder": (lambda: layers.AttentionDecoder(5), (X, X)),
    "AttentionPooling": (layers.AttentionPooling, (X,)),
    "MultiHeadAttention": (lambda: layers.MultiHeadAttention(2, 3), (X, X)),
    "TransformerDecoderBlock": (lambda: layers.TransformerDecoderBlock(2, 8), (X, X)),
    "TransformerEncoderBlock": (lambda: layers.TransformerEncoderBlock(2, 8), (X,)),
}
ARGUMENTS = [
    (name, argument)
    for name, (make, _) in LAYERS.items()
    for argument in ("padding_mask", "memory_padding_mask", "attention_mask")
    if argument in inspect.signature(make().call).parameters
]
every_mask = pytest.mark.parametrize(("name", "argument"), ARGUMENTS)


def array(x):
    return ops.convert_to_numpy(x)


def mask_for(argument):
    return MASK if "padding" in argument else np.repeat(MASK[:, None], T, axis=1)


@every_mask
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_masks_of_0_and_1_equal_boolean_ones(name, argument, dtype):
    make, inputs = LAYERS[name]
    layer, mask = make(), mask_for(argument)
    expected = array(layer(*inputs, **{argument: mask}))
    np.testing.assert_array_equal(array(layer(*inputs, **{argument: mask.astype(dtype)})), expected)
    assert np.abs(array(layer(*inputs)) - expected).max() > 1e-4


@every_mask
def test_masks_may_be_lists(name, argument):
    make, inputs = LAYERS[name]
    layer, mask = make(), mask_for(argument)
    expected = array(layer(*inputs, **{argument: mask}))
    np.testing.assert_array_equal(array(layer(*inputs, **{argument: mask.tolist()})), expected)


@every_mask
def test_additive_masks_are_refused(name, argument):
    make, inputs = LAYERS[name]
    additive = np.where(mask_for(argument), 0.0, -1e9).astype("float32")
    hint = "`bias=`" if argument == "attention_mask" else "Cast a mask"
    with pytest.raises(ValueError, match=f"mask` must be boolean.*from -1e\\+09 to 0.*{hint}"):
        make()(*inputs, **{argument: additive})


@every_mask
def test_float_masks_of_functional_models_are_refused(name, argument):
    make, inputs = LAYERS[name]
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    mask = keras.Input(mask_for(argument).shape[1:])
    with pytest.raises(ValueError, match="Received: a symbolic float32 tensor"):
        make()(*symbols, **{argument: mask})


TOKENS = np.array([[3, 1, 2, 4], [2, 1, 0, 0]])
SYMBOLIC_MASKS = {
    "comparison": lambda ids: ids != 0,
    "operation": lambda ids: ops.logical_not(ops.equal(ids, 0)),
    "integer": lambda ids: ops.cast(ids != 0, "int8"),
    "computed by Embedding": lambda ids: keras.layers.Embedding(5, D, mask_zero=True).compute_mask(
        ids
    ),
    "Lambda": lambda ids: ops.cast(keras.layers.Lambda(lambda x: x != 0)(ids), "bool"),
}


@pytest.mark.parametrize("kind", SYMBOLIC_MASKS)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_masks_that_a_functional_model_computes_hold_after_saving(name, argument, kind, tmp_path):
    ids = keras.Input((T,), dtype="int32")
    x = keras.layers.Embedding(5, D, name="embedding")(ids)
    mask = SYMBOLIC_MASKS[kind](ids)
    mask = mask if "padding" in argument else mask[:, None]
    make, inputs = LAYERS[name]
    layer = make()
    model = keras.Model(ids, layer(*[x for _ in inputs], **{argument: mask}))
    embedded = model.get_layer("embedding")(TOKENS)
    mask = TOKENS != 0 if "padding" in argument else (TOKENS != 0)[:, None]
    expected = array(layer(*[embedded for _ in inputs], **{argument: mask}))
    assert np.abs(expected - array(layer(*[embedded for _ in inputs]))).max() > 1e-5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    for output in (model(TOKENS), loaded(TOKENS), loaded.predict(TOKENS, verbose=0)):
        np.testing.assert_allclose(array(output), expected, atol=1e-5)


@pytest.mark.parametrize("constant", [np.asarray, np.ndarray.tolist, ops.convert_to_tensor])
def test_a_constant_mask_of_a_functional_model_holds_after_saving(constant, tmp_path):
    x, layer = keras.Input((T, D)), layers.MultiHeadAttention(2, 3)
    causal = np.tril(np.ones((T, T), bool))[None]
    model = keras.Model(x, layer(x, x, attention_mask=constant(causal)))
    model.save(tmp_path / "model.keras")
    expected = array(layer(X, X, use_causal_mask=True))
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(array(one(X)), expected, atol=1e-5)


@every_mask
def test_a_mask_that_a_lambda_declares_as_float_is_refused_with_the_cast(name, argument):
    make, inputs = LAYERS[name]
    mask = keras.layers.Lambda(lambda x: x != 0)(
        keras.Input(mask_for(argument).shape[1:], dtype="int32")
    )
    with pytest.raises(
        ValueError, match=r"`keras.layers.Lambda` are float.*`keras.ops.cast\(mask, \"bool\"\)`"
    ):
        make()(*[keras.Input(x.shape[1:]) for x in inputs], **{argument: mask})


@pytest.mark.tensorflow
@every_mask
def test_float_masks_of_graphs_are_refused(name, argument):
    import tensorflow as tf

    make, inputs = LAYERS[name]
    layer, mask = make(), mask_for(argument)
    expected = array(layer(*inputs, **{argument: mask}))
    graph = tf.function(lambda mask: layer(*inputs, **{argument: mask}))
    np.testing.assert_allclose(array(graph(tf.constant(mask))), expected, atol=1e-5)
    with pytest.raises(ValueError, match="Received: a symbolic float32 tensor"):
        graph(tf.constant(mask, "float32"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_float_masks_are_checked(dtype):
    mask = ops.cast(MASK, dtype)
    check_mask_values(owner="layer", padding_mask=mask, attention_mask=None)
    with pytest.raises(ValueError, match=f"layer: `padding_mask`.*{dtype} values from -9 to 0"):
        check_mask_values(owner="layer", padding_mask=(mask - 1) * 9)


@pytest.mark.parametrize("name", ["Attention", "Attention additive", "MultiHeadAttention"])
def test_attention_masks_of_rank_3_and_4_are_equal(name):
    make, inputs = LAYERS[name]
    layer, mask = make(), RANDOM.uniform(size=(B, T, T)) < 0.5
    expected = array(layer(*inputs, padding_mask=MASK, attention_mask=mask))
    for same in (mask[:, None], (mask & MASK[:, None])[:, None]):
        output = layer(*inputs, padding_mask=MASK, attention_mask=same)
        np.testing.assert_allclose(array(output), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["Attention", "Attention additive", "MultiHeadAttention"])
@pytest.mark.parametrize("symbolic", [False, True])
def test_masks_of_wrong_shapes_are_refused(name, symbolic):
    make, inputs = LAYERS[name]
    inputs = [keras.KerasTensor(x.shape) for x in inputs] if symbolic else inputs

    def mask(*shape):
        return keras.KerasTensor(shape, "bool") if symbolic else np.ones(shape, bool)

    with pytest.raises(ValueError, match=r"`attention_mask` must have shape.*\(2, 3, 4, 4\)"):
        make()(*inputs, attention_mask=mask(B, 3, T, T))
    with pytest.raises(ValueError, match=r"`padding_mask` must have shape.*is an `attention_mask`"):
        make()(*inputs, padding_mask=mask(B, T, T))


SEQUENCE_MASKS = [
    (name, argument)
    for name, (make, _) in LAYERS.items()
    for argument in inspect.signature(make().call).parameters
    if argument in ("padding_mask", "memory_padding_mask", "query_mask", "key_mask", "value_mask")
]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize(("name", "argument"), SEQUENCE_MASKS)
def test_sequence_masks_of_wrong_sizes_are_named_with_both_shapes(name, argument, symbolic):
    make, inputs = LAYERS[name]
    # A memory longer than the inputs, so that the lengths cannot be confused.
    inputs = [X, *(np.concatenate([x, x], axis=1) for x in inputs[1:])]
    length = T if len(inputs) == 1 or argument == "query_mask" else 2 * T
    if argument == "padding_mask" and name == "TransformerDecoderBlock":
        length = T
    inputs = [keras.KerasTensor(x.shape) for x in inputs] if symbolic else inputs
    make()(*inputs, **{argument: np.ones((B, length), bool)})
    for wrong in ((B, length + 1), (B, 1), (B + 1, length)):
        mask = keras.KerasTensor(wrong, "bool") if symbolic else np.ones(wrong, bool)
        with pytest.raises(ValueError, match=f"`{argument}` must have") as raised:
            make()(*inputs, **{argument: mask})
        message = str(raised.value).partition("Arguments received by")[0]
        assert f"{(B, length)}" in message or f"inputs {(B, T, D)}" in message
        assert f"Received: shape {wrong}" in message or f"padding_mask {wrong}" in message


@pytest.mark.parametrize("name", ["Attention", "MultiHeadAttention", "TransformerDecoderBlock"])
@pytest.mark.parametrize("symbolic", [False, True])
def test_an_attention_mask_of_rank_2_is_refused_with_what_its_sizes_allow(name, symbolic):
    make, inputs = LAYERS[name]
    inputs = [keras.KerasTensor(x.shape) for x in inputs] if symbolic else inputs
    causal, rows = "`mask[None]`, and a causal one as `use_causal_mask=True`", "is a `padding_mask`"

    def message(shape):
        mask = keras.KerasTensor(shape, "bool") if symbolic else np.ones(shape, bool)
        with pytest.raises(ValueError, match="`attention_mask` must have shape") as raised:
            make()(*inputs, attention_mask=mask)
        return str(raised.value)

    assert causal in message((T, T))
    assert rows not in message((T, T))
    assert rows in message((B, T))
    assert causal not in message((B, T))
    for unclear in ((T + 1, T + 2), (1, T)):
        assert causal in message(unclear)
        assert rows in message(unclear)


def test_an_attention_mask_of_rank_2_is_refused_where_batch_and_length_are_equal():
    layer, x = layers.MultiHeadAttention(2, 3), np.ones((T, T, D), "float32")
    with pytest.raises(ValueError, match=r"`mask\[None\]`.*is a `padding_mask`"):
        layer(x, x, attention_mask=np.tril(np.ones((T, T), bool)))
    causal = np.tril(np.ones((T, T), bool))
    np.testing.assert_allclose(
        array(layer(x, x, attention_mask=causal[None])),
        array(layer(x, x, use_causal_mask=True)),
        atol=1e-6,
    )


@pytest.mark.parametrize("method", ["attend", "cache", "project_memory"])
def test_masks_of_wrong_sizes_are_named_where_steps_are_decoded(method):
    padding_mask = np.ones((B, T + 1), bool)
    if method == "attend":
        layer = layers.MultiHeadAttention(2, 3, name="layer")
        layer.build(X.shape, X.shape)
        step, arguments = layer.attend, (X[:, :1], layer.project(X))
        masks = {"padding_mask": padding_mask}
    elif method == "cache":
        layer = layers.TransformerEncoderBlock(2, 8, name="layer")
        layer.build(X.shape)
        step, arguments = layer, (X[:, :1],)
        masks = {"padding_mask": padding_mask, "cache": layer.make_cache(B, T), "cache_index": 0}
    else:
        layer = layers.TransformerDecoderBlock(2, 8, name="layer")
        layer.build(X.shape, X.shape)
        step, arguments = layer, (X[:, :1],)
        masks = {"memory_padding_mask": padding_mask, "projected_memory": layer.project_memory(X)}
    argument = next(iter(masks))
    message = (
        rf"layer: `{argument}` must have shape \(batch, keys\) = \(2, 4\). Received: shape \(2, 5\)"
    )
    with pytest.raises(ValueError, match=message):
        step(*arguments, **masks)


@pytest.mark.parametrize(("name", "argument"), SEQUENCE_MASKS)
def test_one_mask_may_serve_all_rows(name, argument):
    make, inputs = LAYERS[name]
    layer, mask = make(), MASK[1:]
    expected = array(layer(*inputs, **{argument: np.repeat(mask, B, axis=0)}))
    np.testing.assert_allclose(array(layer(*inputs, **{argument: mask})), expected, atol=1e-6)


def test_a_mask_of_all_rows_is_prepared_for_each_row_of_a_search():
    decoder = layers.AttentionDecoder(5)
    decoder.build(X.shape, X.shape)
    assert tuple(decoder.prepare(X, MASK[1:])["padding_mask"].shape) == (B, T)


@pytest.mark.tensorflow
def test_sizes_that_a_graph_does_not_know_are_not_checked():
    import tensorflow as tf

    layer = layers.MultiHeadAttention(2, 3)
    expected = array(layer(X, X, padding_mask=MASK))
    unknown = [tf.TensorSpec([None, None, D]), tf.TensorSpec([None, None], "bool")]
    graph = tf.function(lambda x, mask: layer(x, x, padding_mask=mask), input_signature=unknown)
    np.testing.assert_allclose(array(graph(X, MASK)), expected, atol=1e-5)


MASK_ARGUMENTS = ["padding_mask", "attention_mask", "use_causal_mask"]


def call_arguments(kind, method="call"):
    return [name for name in inspect.signature(getattr(kind, method)).parameters if name != "self"]


def test_methods_attend_take_the_same_masks_by_keyword():
    for kind in (layers.Attention, layers.MultiHeadAttention):
        parameters = inspect.signature(kind.attend).parameters
        keywords = [x.name for x in parameters.values() if x.kind is x.KEYWORD_ONLY]
        assert keywords[:5] == [*MASK_ARGUMENTS, "return_attention_scores", "training"]


def test_both_blocks_order_their_arguments_alike():
    encoder = call_arguments(layers.TransformerEncoderBlock)
    decoder = call_arguments(layers.TransformerDecoderBlock)
    shared = [
        *("inputs", *MASK_ARGUMENTS),
        *("return_attention_scores", "training", "cache", "cache_index"),
    ]
    assert encoder[: len(shared)] == shared
    assert [name for name in decoder if "memory" not in name][: len(shared)] == shared
    assert decoder[:4] == ["inputs", "memory", "padding_mask", "memory_padding_mask"]


def test_multi_head_attention_orders_its_arguments_as_keras_does():
    ours = call_arguments(layers.MultiHeadAttention)
    theirs = call_arguments(keras.layers.MultiHeadAttention)
    shared = [name for name in theirs if name in ours and not name.endswith(("_mask",))]
    assert [name for name in ours if name in shared] == shared
    assert {"attention_mask", "use_causal_mask"} < set(ours) & set(theirs)


@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
def test_attend_combines_all_masks(score):
    layer = layers.Attention(score, units=3 if score == "additive" else None)
    mask = RANDOM.uniform(size=(B, T, T)) < 0.7
    settings = {"padding_mask": MASK, "attention_mask": mask, "use_causal_mask": True}
    expected, scores = layer(X, X, return_attention_scores=True, **settings)
    query = ops.convert_to_tensor(X)
    output = layer.attend(query, layer.project_keys(query), query, **settings)
    np.testing.assert_allclose(array(output), array(expected), atol=1e-6)
    allowed = mask & MASK[:, None] & np.tril(np.ones((T, T), bool))
    np.testing.assert_array_equal(array(scores) > 0, allowed)
