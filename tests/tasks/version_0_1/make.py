"""Write small models with version 0.1 of keras_attn, and what they answer.

Run it with version 0.1 (git tag or the commit before `Task`), never with the code of today:

    PYTHONPATH=<checkout of version 0.1> python tests/tasks/version_0_1/make.py
"""

import json
import pathlib

import keras
import numpy as np

import keras_attn
from keras_attn import tasks

FOLDER = pathlib.Path(__file__).parent
TEXTS = ["a fine film to love", "fine acting", "a dull film to leave", "dull acting", "so dull"]
LABELS = [1, 1, 0, 0, 0]
SOURCES = ["a dog runs .", "a cat sleeps .", "the dog eats ."]
TARGETS = ["un chien court .", "un chat dort .", "le chien mange ."]


def images():
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (4, 4, 4, 3)).astype("uint8")
    return small.repeat(8, axis=1).repeat(8, axis=2)


def image_classifier():
    model = tasks.from_architecture(
        "small_attention_cnn", ("cat", "dog", "owl"), filters=(4, 8), key_channels=4
    )
    model.adapt(images())
    model.fit(images(), np.array([0, 1, 2, 0]), epochs=2, verbose=0)
    return model, model.logits(images()).tolist()


def text_classifier():
    model = tasks.from_architecture(
        "ngram_attention", ("bad", "good"), vocabulary_sizes=(20, 20), text={"max_length": 12}
    )
    model.adapt(TEXTS, LABELS)
    model.fit(TEXTS, np.array(LABELS), epochs=2, verbose=0)
    model.calibrate(TEXTS, [1, 0, 0, 0, 1])
    return model, [list(answer.probabilities.values()) for answer in model.classify(TEXTS)]


def translator():
    model = tasks.from_architecture(
        "translation_transformer",
        vocabulary_size=300,
        model_dim=16,
        encoder_layers=1,
        decoder_layers=1,
        num_heads=2,
        intermediate_dim=16,
        text={"max_length": 20, "lowercase": True},
    )
    model.adapt(SOURCES, TARGETS)
    model.compile(keras.optimizers.Adam(0.03), tasks.SequenceCrossentropy())
    model.fit(SOURCES, TARGETS, epochs=40, verbose=0)
    model.compile(keras.optimizers.SGD(0.01), tasks.SequenceCrossentropy())  # a smaller file
    return model, [[answer.text, answer.score] for answer in model.translate(SOURCES)]


def main():
    assert keras_attn.__version__.startswith("0.1"), keras_attn.__file__
    answers = {}
    for make in (image_classifier, text_classifier, translator):
        keras.utils.set_random_seed(0)
        model, answers[make.__name__] = make()
        model.save(FOLDER / f"{make.__name__}.keras")
    (FOLDER / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
