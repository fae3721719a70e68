"""All of it in one SavedModel, as its users meet it."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import Normalizer, SubwordTokenizer, Vocabulary, hash_ngrams, split_words
from tests.text.strings import AWKWARD, random_bytes, random_strings

pytestmark = pytest.mark.tensorflow
CLIENT = pathlib.Path(__file__).with_name("saved_model_client.py")


class Everything(tf.Module):
    def __init__(self):
        super().__init__()
        self.vocabulary = Vocabulary(["a", "&", "\u6f22", "amp"])
        self.tokenizer = SubwordTokenizer(["\u2581", "a", "\u2581<", "br"])

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def serve(self, texts):
        normalized = Normalizer()(texts)
        words = split_words(normalized)
        subwords = self.tokenizer.tokenize(texts)
        return {
            "normalized": normalized,
            "ngrams": hash_ngrams(words, (1, 2, 3), 5000),
            "ids": self.vocabulary(words),
            "subwords": subwords,
            "back": self.tokenizer.detokenize(subwords),
        }


@pytest.mark.slow
def test_keras_exports_a_model_of_it(tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.vocabulary = Vocabulary(["a", "b"])
            self.tokenizer = SubwordTokenizer(["\u2581", "a"])
            self.embedding = keras.layers.Embedding(300, 2)

        def call(self, texts):
            ids = [self.vocabulary(split_words(texts)), self.tokenizer(texts)]
            return sum(tf.reduce_sum(self.embedding(rows.to_tensor()), axis=1) for rows in ids)

    model = Model()
    texts = tf.constant(["a b c", ""])
    answer = model(texts)
    spec = keras.InputSpec(dtype="string", shape=(None,))
    model.export(tmp_path / "model", input_signature=[spec], verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.serve(texts), answer, rtol=1e-6)


@pytest.mark.slow
def test_a_saved_model_runs_without_keras_attn(tmp_path):
    module = Everything()
    tf.saved_model.save(module, str(tmp_path / "model"))
    strings = [*AWKWARD, *random_strings(50, seed=8)]
    texts = [text.encode() for text in strings] + random_bytes(20, seed=9)
    (tmp_path / "texts.json").write_text(json.dumps([text.hex() for text in texts]))
    done = subprocess.run(
        [sys.executable, str(CLIENT), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads((tmp_path / "answers.json").read_text())
    for batch, answer in zip((texts, [], texts[:1]), answers, strict=True):
        normalized = Normalizer()(batch)
        words = split_words(normalized)
        assert answer["normalized"] == [text.hex() for text in normalized.numpy()]
        assert answer["ngrams"] == hash_ngrams(words, (1, 2, 3), 5000).to_list()
        assert answer["ids"] == module.vocabulary(words).to_list()
        assert answer["subwords"] == module.tokenizer(batch).to_list()
        kept = module.tokenizer.normalizer(batch).numpy()
        assert answer["back"] == [text.hex() for text in kept]
