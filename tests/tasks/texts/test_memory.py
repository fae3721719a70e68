"""Memory of `fit` on long texts, and its batches."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_attn.batching import EncodedTexts
from keras_attn.tasks.texts.fitting import UserTextBatches
from tests.tasks.small_classifiers import LABELS, TEXTS, make

pytestmark = pytest.mark.tensorflow
LIMIT = 2.0  # GiB above the memory of a process that has built the model

SCRIPT = """
import json, resource, sys
import numpy as np
import keras_attn

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

names = [str(label) for label in range(20)]
settings = json.loads(sys.argv[1])
model = keras_attn.build(
    "imdb_ngram_attention", weights=None, label_names=names, preprocessing=settings
)
before = peak()
random = np.random.default_rng(0)
lengths = np.minimum(10_000, np.exp(random.normal(5.2, 1.0, 11_000))).astype(int) + 1
lengths[:20] = 10_000
labels = random.integers(20, size=len(lengths)).astype("int32")
words = np.array([f"w{number:x}" for number in range(60_000)])
chances = (1 / np.arange(1, len(words) + 1)).cumsum()
texts = []
for length, label in zip(lengths, labels):
    drawn = np.searchsorted(chances / chances[-1], random.random(length))
    drawn = np.where(random.random(length) < 0.05, (20 * drawn + label) % len(words), drawn)
    texts.append(" ".join(words[drawn]))
model.adapt(texts, labels)
model.fit(texts, labels, validation_split=0.1, verbose=0)
model.classify(texts[:500])
print(json.dumps(peak() - before))
"""


@pytest.mark.exhaustive
def test_11_000_texts_of_up_to_10_000_words_take_less_than_2_gib():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({"max_length": 10_000})],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) < LIMIT


def test_each_batch_is_as_long_as_its_longest_text():
    lengths = np.array([3, 200, 5, 70])
    ids = np.ones((lengths.sum(), 2), "int32")
    texts = EncodedTexts(ids, np.concatenate([[0], lengths.cumsum()]), np.zeros(4, "int32"))
    weights = np.arange(4.0)
    batches = UserTextBatches(texts, np.arange(4), weights, batch_size=1, shuffle=True)
    seen = {}
    for index in range(len(batches)):
        batch, label, weight = batches[index]
        assert label[0] == weight[0]
        seen[int(label[0])] = batch.shape[1]
    assert seen == {0: 64, 1: 256, 2: 64, 3: 128}
    orders = set()
    for _ in range(8):
        batches.on_epoch_end()
        orders.add(tuple(batches.order))
    assert len(orders) > 1
    with pytest.raises(ValueError, match=r"one target.*4 texts.*\(3,\)"):
        UserTextBatches(texts, np.zeros(3))


def test_fit_takes_the_arguments_of_keras():
    model = make()
    model.adapt(TEXTS, LABELS)
    history = model.fit(
        TEXTS,
        LABELS,
        validation_split=0.3,
        validation_batch_size=1,
        batch_size=2,
        epochs=2,
        class_weight={0: 2.0, 1: 1.0},
        shuffle=False,
        verbose=0,
    ).history
    assert len(history["val_loss"]) == 2
    with pytest.raises(ValueError, match="leaves texts in both parts"):
        model.fit(TEXTS, LABELS, validation_split=0.99)


def test_padding_does_not_change_what_is_learned():
    weights = []
    texts = [*TEXTS, f"{TEXTS[0]} and more " * 20]
    labels = [*LABELS, 1]
    for dense in (False, True):
        model = make()
        model.adapt(texts, labels)
        model.compile("sgd", model.loss)
        x = model.encode(texts).batch(np.arange(len(texts)))[0] if dense else texts
        model.fit(x, np.array(labels), batch_size=3, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
