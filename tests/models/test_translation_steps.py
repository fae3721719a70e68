"""What a search takes of translation models: steps, beams, graphs."""

import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import beam_search
from tests.models.small_translators import (
    END,
    SOURCE,
    START,
    TARGET,
    B,
    T,
    V,
    every_kind,
    kinds,
    logits_of,
    make,
    same,
    wider,
)


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
