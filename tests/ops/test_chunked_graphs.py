"""The streaming path in graphs and under compilers; its second derivative; PyTorch's kernel."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import attention, chunked, dispatch, full, padding_mask
from tests.ops import oracles
from tests.ops.oracles import B, H, N, V
from tests.ops.test_chunked import S, T, every_streamed, inputs, streamed

needs_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="the backend is not jax")


def outputs_and_gradients(query, key, value, real, offset, **path):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        output = attention(
            query, key, value, mask=padding_mask(real), is_causal=True, q_offset=offset, **path
        )
        loss = tf.reduce_sum(output**2)
    return output, *tape.gradient(loss, [query, key, value])


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@every_streamed
def test_graph_with_unknown_batch_and_length_equals_eager(normalizer, jit_compile):
    import tensorflow as tf

    path = {"implementation": "chunked", "chunk_size": 3, "normalizer": normalizer}
    specs = [tf.TensorSpec([None, None, heads, size]) for heads, size in ((N, H), (2, H), (2, V))]
    specs += [tf.TensorSpec([None, None], tf.bool), tf.TensorSpec([], tf.int32)]
    function = tf.function(
        lambda *arguments: outputs_and_gradients(*arguments, **path),
        input_signature=specs,
        jit_compile=jit_compile,
    )
    for batch, queries, keys in ((2, 7, 11), (3, 4, 6)):
        tensors = [tf.constant(x) for x in oracles.inputs(2, keys, queries, batch)]
        arguments = *tensors, oracles.random_mask(batch, keys), tf.constant(2)
        expected = outputs_and_gradients(*arguments, implementation="full", normalizer=normalizer)
        for got, exact in zip(function(*arguments), expected, strict=True):
            np.testing.assert_allclose(got, exact, atol=2e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("crossover", [1, 10**9], ids=["chunked", "full"])
def test_auto_chooses_at_run_time_where_lengths_are_unknown(crossover, monkeypatch):
    import tensorflow as tf

    taken = []
    monkeypatch.setattr(dispatch, "BANDED_CROSSOVER", crossover)
    for module in (chunked, full):
        name = module.__name__.rsplit(".", maxsplit=1)[-1]
        implementation = getattr(module, f"{name}_attention")

        def record(call, name=name, implementation=implementation):
            output = implementation(call)
            with tf.control_dependencies([tf.py_function(taken.append, [name], [])]):
                return tf.identity(output)

        monkeypatch.setattr(module, f"{name}_attention", record)
    specs = [tf.TensorSpec([None, None, heads, size]) for heads, size in ((N, H), (2, H), (2, V))]
    specs += [tf.TensorSpec([None, None], tf.bool), tf.TensorSpec([], tf.int32)]
    function = tf.function(outputs_and_gradients, input_signature=specs)
    arguments = *map(tf.constant, inputs(2)), oracles.random_mask(B, S), tf.constant(2)
    expected = outputs_and_gradients(*arguments, implementation="full")
    taken.clear()
    for got, exact in zip(function(*arguments), expected, strict=True):
        np.testing.assert_allclose(got, exact, atol=1e-5)
    assert [x.numpy() for x in taken] == [b"chunked" if crossover == 1 else b"full"]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_no_tensor_of_the_graph_is_as_large_as_the_scores():
    import tensorflow as tf

    length = 96
    spec = tf.TensorSpec([1, length, 1, 4])

    @tf.function(input_signature=[spec] * 3)
    def step(query, key, value):
        real = tf.ones((1, length), tf.bool)
        return outputs_and_gradients(query, key, value, real, 0, chunk_size=16)

    def largest(graph):
        sizes = [x.shape.num_elements() or 0 for op in graph.get_operations() for x in op.outputs]
        return max(sizes)

    concrete = step.get_concrete_function()
    functions = [
        concrete.graph._get_function(f.signature.name)
        for f in concrete.graph.as_graph_def().library.function
    ]
    graphs = [concrete.graph, *[f.graph for f in functions if hasattr(f, "graph")]]
    assert len(graphs) > 4
    assert max(map(largest, graphs)) <= length * 16


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_saved_model_streams_any_length(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda x, real: streamed(x, x, x, mask=padding_mask(real), is_causal=True),
        input_signature=[tf.TensorSpec([None, None, N, H]), tf.TensorSpec([None, None], tf.bool)],
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for length in (1, 5, 13):
        x = oracles.inputs(queries=length)[0]
        real = oracles.random_mask(B, length)
        expected, _ = oracles.attention(x, x, x, mask=real[:, None, None], is_causal=True)
        np.testing.assert_allclose(loaded.run(x, real), expected, atol=1e-5)


@needs_jax
@every_streamed
def test_jax_differentiates_and_compiles_it(normalizer):
    import jax

    def loss(tensors, path):
        query, key, value = tensors
        mask = padding_mask(ops.any(key != 0.0, axis=(2, 3)))
        output = attention(
            query, key, value, mask=mask, is_causal=True, normalizer=normalizer, **path
        )
        return ops.sum(ops.square(output))

    tensors = [jax.numpy.asarray(x) for x in inputs(2)]
    tensors[1] = tensors[1].at[:, 2].set(0.0)
    expected = jax.grad(loss)(tensors, {"implementation": "full"})
    path = {"chunk_size": 3}
    for function in (
        jax.grad(lambda t: loss(t, path)),
        jax.jit(jax.grad(lambda t: loss(t, path))),
        jax.grad(jax.jit(lambda t: loss(t, path))),
    ):
        for got, exact in zip(function(tensors), expected, strict=True):
            np.testing.assert_allclose(got, exact, atol=1e-5)


# What it does not have.


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("graph", [False, True])
def test_a_second_derivative_is_refused_and_not_wrong(graph):
    import tensorflow as tf

    def second(x, **path):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(attention(x, x, x, **path) ** 2)
            gradient = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(gradient, x)

    second = tf.function(second) if graph else second
    x = tf.constant(oracles.inputs()[0])
    assert np.isfinite(second(x, implementation="full")).all()
    with pytest.raises(RuntimeError, match="no second derivative"):
        second(x, chunk_size=2)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the backend is not torch")
def test_a_second_derivative_is_refused_on_torch():
    import torch

    x = torch.tensor(oracles.inputs()[0], requires_grad=True)
    loss = torch.sum(attention(x, x, x, implementation="chunked", chunk_size=2) ** 2)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("batch", [1, B])
def test_a_bias_of_unknown_batch_has_a_gradient_of_its_shape(batch, dtype):
    import tensorflow as tf

    bias = np.random.default_rng(3).normal(size=(batch, N, T, S)).astype(dtype)
    query, key, value = inputs()

    def gradient(bias, **path):
        with tf.GradientTape() as tape:
            tape.watch(bias)
            loss = tf.reduce_sum(attention(query, key, value, bias=bias, **path) ** 2)
        return tape.gradient(loss, bias)

    unknown = tf.function(
        lambda bias: gradient(bias, chunk_size=3),
        input_signature=[tf.TensorSpec([None, N, T, S], dtype)],
    )
    expected = gradient(tf.constant(bias), implementation="full")
    got = unknown(tf.constant(bias))
    assert got.shape == bias.shape
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-3 if dtype == "float16" else 1e-5)


# The native kernel.


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the backend is not torch")
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize(
    "names", ["", "mask", "bias", "mask bias", "excluding", "mask excluding", "is_causal"]
)
def test_the_native_kernel_equals_the_oracle_and_the_full_gradient(names, key_heads):
    available = {
        "mask": oracles.random_mask(B, 1, T, S),
        "bias": np.random.default_rng(3).normal(size=(1, N, T, S)).astype("float32"),
        "is_causal": True,
    }
    arguments = {name: available[name] for name in names.split() if name != "excluding"}
    same = dict(arguments)
    if "excluding" in names:  # some rows whole, with the mask or without it
        allowed = oracles.random_mask(B, N, T, S)
        arguments["bias"] = np.where(allowed, 0.0, -np.inf).astype("float32")
        same["mask"] = same.get("mask", True) & allowed
    query, key, value = inputs(key_heads)
    expected, _ = oracles.attention(query, key, value, **same)
    got = oracles.numpy(attention(query, key, value, implementation="native", **arguments))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    dead = ~np.broadcast_to(same.get("mask", True), (B, N, T, S)).any(-1)
    assert not got.swapaxes(1, 2)[dead].any()
    assert dead.any() == ("mask" in same)

    def loss(x, path):
        output = attention(query, x, value, implementation=path, **arguments)
        return ops.sum(ops.square(output))

    gradients = [oracles.gradient(lambda x, p=p: loss(x, p), key) for p in ("native", "full")]
    np.testing.assert_allclose(*gradients, atol=1e-4)
