"""The loop that drops finished rows."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import beam_search
from keras_attn.decoding._loop import FEW_ROWS, while_rows
from tests.decoding.toys import IDS, Histories, arrays, random_table

LASTS = np.array([3, 9, 1, 4, 4, 2, 30, 2, 1, 12, 3, 5], "int32")


def run(lasts, length, seen=None):
    """Sum the indices of the steps of each row up to its last one."""
    rows = {"last": ops.convert_to_tensor(lasts), "sum": ops.zeros(lasts.shape, "int32")}
    rows["next"] = ops.zeros(lasts.shape, "int32")

    def body(index, rows):
        if seen is not None:
            seen.append(int(ops.shape(rows["last"])[0]))
        active = rows["next"] <= rows["last"]
        return {
            "last": rows["last"],
            "sum": rows["sum"] + ops.where(active, index, 0),
            "next": ops.where(active, index + 1, rows["next"]),
        }

    result, steps = while_rows(
        lambda rows: rows["next"] <= rows["last"],
        body,
        lambda rows: {"sum": rows["sum"]},
        rows,
        length,
    )
    return ops.convert_to_numpy(result["sum"]), int(steps)


def in_a_graph(function):
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False)


@pytest.mark.parametrize("length", [50, 31, 10, 1])
def test_each_row_has_the_steps_that_it_needs(length):
    result, steps = run(LASTS, length)
    np.testing.assert_array_equal(result, [sum(range(min(n + 1, length))) for n in LASTS])
    assert steps == min(LASTS.max() + 1, length)


def test_no_rows_need_no_steps():
    result, steps = run(LASTS[:0], 5)
    assert result.shape == (0,)
    assert steps == 0


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX never drops rows")
def test_finished_rows_are_dropped():
    seen = []
    run(LASTS, 50, seen)
    assert seen[0] == len(LASTS)
    assert seen[-1] <= FEW_ROWS
    assert len(seen) == LASTS.max() + 1
    for index, count in enumerate(seen):
        active = (index <= LASTS).sum()
        assert active <= count <= max(2 * active + 1, FEW_ROWS)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has fixed shapes")
@pytest.mark.parametrize("run", [lambda f: f, in_a_graph], ids=["eager", "graph"])
def test_a_growing_axis_grows_after_rows_are_dropped(run):
    def body(index, rows):
        new = rows["last"][:, None] * 100 + index
        return {"last": rows["last"], "seen": ops.concatenate([rows["seen"], new], axis=1)}

    def sums():
        rows = {
            "last": ops.convert_to_tensor(LASTS),
            "seen": ops.zeros((len(LASTS), 0), "int32"),
        }
        return while_rows(
            lambda rows: ops.shape(rows["seen"])[1] <= rows["last"],
            body,
            lambda rows: ops.sum(rows["seen"], axis=1),
            rows,
            50,
        )

    (result, steps) = run(sums)()
    result = ops.convert_to_numpy(result)
    assert int(steps) == LASTS.max() + 1
    # Finished rows run until they are dropped; the longest one runs to the end.
    last = int(LASTS.argmax())
    assert result[last] == sum(LASTS[last] * 100 + i for i in range(LASTS[last] + 1))


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_search_under_xla_is_the_same():
    import tensorflow as tf

    model, rows = Histories(random_table(9, seed=1)), np.arange(3, 14, dtype="int32")

    def search(rows):
        return beam_search(model, rows, num_beams=3, max_length=9, **IDS)

    compiled = tf.function(search, jit_compile=True, autograph=False)(tf.constant(rows))
    for result, expected in zip(arrays(compiled), arrays(search(rows)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.slow
def test_a_search_of_many_rows_is_that_of_each():
    model = Histories(random_table(9, seed=1))
    rows = np.arange(3, 40)
    together = arrays(beam_search(model, rows, num_beams=3, num_return=2, max_length=9, **IDS))
    for i, row in enumerate(rows):
        alone = beam_search(model, rows[i : i + 1], num_beams=3, num_return=2, max_length=9, **IDS)
        for result, expected in zip(together, arrays(alone), strict=True):
            np.testing.assert_allclose(result[i : i + 1], expected, rtol=1e-5, err_msg=str(row))
