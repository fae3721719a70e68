"""Exports for CTranslate2: the same translations, in a process without TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import tasks
from keras_attn.batching.padding import pad_rows
from keras_attn.tasks._adaptation import lora_layers
from keras_attn.tasks.translation._sentences import sentence_ids
from keras_attn.text import Normalizer, SubwordTokenizer
from keras_attn.text.plain import PlainTokenizer, normalize
from tests.tasks.translation.test_translator import SOURCES, TARGETS, _new

pytestmark = pytest.mark.tensorflow
HARD = [
    "",
    "  ",
    "\uff21 \ufb01ne \u201cday\u201d \u2026\u00a0x\u200b e\u0301 漢字 😀 ▁",
    "a&amp;lt;b<br>c <p> &nbsp;d &#39;e",
    "\u00ad\u200e soft\u2060 tab\tnew\nline\0nul",
    "\u00c0\u00c9\u00ce \u01c5 \u0391\u03a3",
]

CLIENT = """
import json, sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "jax", "torch")))
from keras_attn.tasks import CTranslate2Translator
model = CTranslate2Translator(sys.argv[1], intra_threads=1)
texts = json.loads(sys.argv[2])
answers = [model.translate(texts, 1, batch_size=2), model.translate(texts[0], beam_size=2)]
print(json.dumps([*answers, model.info["task"]]))
"""


@pytest.mark.parametrize(
    "normalizer",
    [Normalizer(lowercase=False, html=False), Normalizer(), Normalizer(fold=False, rules=1)],
)
def test_the_plain_tokenizer_is_the_same(normalizer):
    tokenizer = SubwordTokenizer(["▁", "▁so", "ft", "da", "y", "▁a"], normalizer)
    plain = PlainTokenizer(tokenizer.pieces, normalizer)
    encoded = sentence_ids(tokenizer, HARD)
    detokenized = tokenizer.detokenize(pad_rows(encoded, 1)).numpy()
    for text, normalized, ids, expected in zip(
        HARD, normalizer(HARD).numpy(), encoded, detokenized, strict=True
    ):
        assert normalize(text, normalizer) == normalized.decode(), text
        assert plain.encode(text) == ids.tolist(), text
        assert plain.decode([1, *ids, 2, 0]) == expected.decode()


@pytest.mark.slow
def test_it_translates_as_the_model_without_tensorflow(tmp_path):
    pytest.importorskip("ctranslate2")
    translator = _new()
    translator.adapt(SOURCES, TARGETS)
    path = translator.export(tmp_path / "float", format="ctranslate2")
    small = translator.export(tmp_path / "int8", format="ctranslate2", quantization="int8")
    assert (small / "model.bin").stat().st_size < (path / "model.bin").stat().st_size
    texts = [*SOURCES, "", "unseen wörds"]
    command = [sys.executable, "-c", CLIENT, str(path), json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers, one, task = json.loads(done.stdout)
    assert answers == [each.text for each in translator.translate(texts, 1)]
    assert isinstance(one, str)
    assert task == "translation"
    with pytest.raises(FileExistsError):
        translator.export(path, format="ctranslate2")
    with pytest.raises(ValueError, match="`quantization` must be 'int8'"):
        translator.export(tmp_path / "2", format="ctranslate2", quantization="int4")
    with pytest.raises(FileNotFoundError, match=r"it has no model\.json"):
        tasks.CTranslate2Translator(tmp_path)


@pytest.mark.slow
def test_updates_of_lora_are_exported(tmp_path):
    pytest.importorskip("ctranslate2")
    translator = _new()
    translator.adapt(SOURCES, TARGETS)
    before = [each.text for each in translator.translate(SOURCES, 1)]
    translator.enable_lora(2, targets="dense")
    for layer in lora_layers(translator):
        noise = np.random.default_rng(0).normal(0, 1, layer.lora_kernel_b.shape)
        layer.lora_kernel_b.assign(noise)
    expected = [each.text for each in translator.translate(SOURCES, 1)]
    assert expected != before
    path = translator.export(tmp_path / "1", format="ctranslate2")
    exported = tasks.CTranslate2Translator(path)
    assert exported.translate(SOURCES, 1) == expected
    with pytest.warns(UserWarning, match="knows 0 of 2 characters"):
        exported.translate("你好", 1)
    with pytest.warns(UserWarning, match="of a text are read. 1 of 1 text has more"):
        exported.translate("a dog runs . " * 100, 1)
    (path / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is of another format: it lacks max_length"):
        tasks.CTranslate2Translator(path)


@pytest.mark.slow
def test_a_recurrent_network_is_refused(tmp_path):
    sizes = {"vocabulary_size": 300, "model_dim": 8}
    translator = tasks.from_architecture("recurrent_translator", **sizes)
    with pytest.raises(ValueError, match=r"Transformers with softmax attention.*'saved_model'"):
        translator.export(tmp_path / "1", format="ctranslate2")
