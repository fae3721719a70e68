import dataclasses
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import Normalizer
from tests.conftest import ROOT
from tests.text.strings import AWKWARD, random_bytes, random_strings

pytestmark = pytest.mark.tensorflow


def normalized(text, **fields):
    return Normalizer(**fields)(text).numpy().decode("utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\r\n ", ""),
        ("a\x00b\x1b\x7f\x85c", "a b c"),
        (b"a\xffb\xc0", "a\ufffdb\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        ("\ud800", "\ufffd\ufffd\ufffd"),
        ("a\u00a0\u2003\u200b\u3000\ufeffb", "a b"),
        ("\u2018\u2019\u201b\u2032 \u201c\u201d\u201e\u2033", "'''' \"\"\"\""),
        ("\u2010\u2011\u2013\u2014\u2015\u2212", "------"),
        ("well\u2026", "well..."),
        ("\uff28\uff45\uff4c\uff4c\uff4f\uff01\uff5e", "hello!~"),
        ("\u00c9T\u00c9 \u0416\u03a3", "\u00e9t\u00e9 \u0436\u03c2"),
        ("a<br />b<BR>c<br/>d<br\t>e<p>f</P>g", "a b c d e f g"),
        ("<b>bold</b> <brown> a <pre>", "<b>bold</b> <brown> a <pre>"),
        ("&lt;3 &amp; &quot;R&#39;n&apos;B&quot;&nbsp;&GT;", "<3 & \"r'n'b\" >"),
        ("&amp;amp;amp;quot;", '"'),
        ("&eacute; & &; AT&T", "&eacute; & &; at&t"),
        ("\uff06\uff41\uff4d\uff50\uff1b", "&"),
        ("co\u00adop\u2060er\u200eate \u200f\u05d0\u061c\u202b!\u202c\u2069", "cooperate \u05d0!"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("H\u0331 \u1e96 J\u030c \u01f0", "\u1e96 \u1e96 \u01f0 \u01f0"),
        ("&lt;\u0338 &amp\u037e <br\u226f", "\u226e & \u226f"),
    ],
)
def test_one_spelling(text, expected):
    assert normalized(text) == expected


def test_what_is_written_is_spelled_as_it_was():
    text = (
        "\uff1f\uff0c\uff01 \u201cWell\u2026\u201d \u2014 50\u202f\u20ac\u3000l\u2019\u00e9t\u00e9"
    )
    normalizer = Normalizer(lowercase=False, html=False, fold=False)
    assert normalizer(f" {text}\t\x00\u2028\n").numpy().decode() == text
    assert normalizer("a\r\n\x85b  c").numpy().decode() == "a b c"


def test_version_0_1_keeps_what_is_invisible():
    assert normalized("co\u00adop \uff21", rules=1) == "co\u00adop a"


def test_what_is_switched_off_stays():
    assert normalized("A<br />B &amp;", html=False) == "a<br />b &amp;"
    assert normalized("A<br />B &amp;", lowercase=False) == "A B &"


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("html", [True, False])
def test_a_second_time_changes_nothing_and_the_result_is_clean(lowercase, html):
    normalizer = Normalizer(lowercase=lowercase, html=html)
    texts = [*AWKWARD, *random_strings(3000, seed=0), *random_bytes(1000, seed=1)]
    once = normalizer(texts)
    np.testing.assert_array_equal(normalizer(once).numpy(), once.numpy())
    for text in (encoded.decode("utf-8") for encoded in once.numpy()):
        assert "  " not in text
        assert text == text.strip(" ")
        assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)


def test_every_code_point_is_taken():
    codes = [*range(0x3100), *range(0x3100, 0xD800, 7), *range(0xE000, 0x110000, 31)]
    codes += range(0xFE00, 0x10000)
    texts = tf.strings.unicode_encode(tf.constant(codes)[:, None], "UTF-8")
    normalizer = Normalizer()
    once = normalizer(texts).numpy()
    assert len(once) == len(codes)
    np.testing.assert_array_equal(normalizer(once.tolist()).numpy(), once)
    same = sum(text.decode() == chr(code) for code, text in zip(codes, once, strict=True))
    assert 0.9 < same / len(codes) < 1.0


def test_the_shape_is_preserved():
    normalizer = Normalizer()
    assert normalizer("A").shape == ()
    assert normalizer(np.array([["A", "\uff22"], ["C", ""]])).numpy().tolist() == [
        [b"a", b"b"],
        [b"c", b""],
    ]
    assert normalizer([]).shape == (0,)
    traced = tf.function(normalizer, input_signature=[tf.TensorSpec((None, 2), tf.string)])
    assert traced(tf.constant([["A", "\uff22"]])).numpy().tolist() == [[b"a", b"b"]]
    assert traced.get_concrete_function().output_shapes.as_list() == [None, 2]


def test_a_megabyte():
    text = "A <br />" * 125_000
    assert normalized(text) == ("a " * 125_000).strip()


def test_it_is_a_value():
    normalizer = Normalizer(html=False)
    assert Normalizer(**dataclasses.asdict(normalizer)) == normalizer
    with pytest.raises(dataclasses.FrozenInstanceError):
        normalizer.html = True


@pytest.mark.slow
def test_lower_case_does_not_depend_on_the_locale():
    script = "from keras_attn.text import Normalizer; print(Normalizer()('TITLE \u0130').numpy())"
    locale = {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str("title i\u0307".encode()), done.stderr[-2000:]
