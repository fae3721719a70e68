import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text._checks import as_strings

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    "texts",
    [
        ["a\u00e9", "\x00"],
        ("a\u00e9", b"\x00"),
        np.array(["a\u00e9", "\x00"], object),
        tf.constant(["a\u00e9", "\x00"]),
        tf.Variable(["a\u00e9", "\x00"]),
    ],
)
def test_what_is_accepted(texts):
    strings = as_strings(texts, rank=1)
    assert isinstance(strings, tf.Tensor)
    assert strings.numpy().tolist() == ["a\u00e9".encode(), b"\x00"]


def test_other_shapes():
    assert as_strings("a").shape == ()
    assert as_strings([["a", "b"]]).shape == (1, 2)
    assert as_strings(np.array(["ab"])).numpy().tolist() == [b"ab"]
    assert as_strings(()).dtype == tf.string
    with pytest.raises(ValueError, match=r"put a single text into a list. Received: shape \(\)"):
        as_strings("a", rank=1)


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (3, "int"),
        (None, "NoneType"),
        (["a", 3], "holds 3"),
        (["a", None], "holds None"),
        ([["a"], [1.5]], "holds 1.5"),
        (np.ones(2), "holds 1.0"),
        (tf.ones(2), "float32"),
        (tf.ragged.constant([["a"]]), "RaggedTensor of string"),
        ({"a": "b"}, "dict"),
    ],
)
def test_what_is_refused(texts, named):
    with pytest.raises(TypeError, match=f"`texts` must be a string, .*{named}"):
        as_strings(texts)
