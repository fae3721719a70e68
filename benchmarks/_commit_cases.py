"""The cases of `benchmarks/compare_commits.py`, each for a process of its own.

Only names that older commits have as well are used, and `keras_attn` is imported after its
checkout was put on the path.
"""

import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], Any]

SECONDS_OF_TURN = 0.3


def attention(queries: int, training: bool, causal: bool, dtype: str = "float32") -> Call:
    """Return a call of attention with 4 heads of 64, forward or with gradients."""
    import tensorflow as tf

    from keras_attn import ops

    inputs = [tf.cast(tf.random.normal((1, queries, 4, 64)), dtype) for _ in range(3)]

    @tf.function
    def forward() -> Any:
        return ops.attention(*inputs, is_causal=causal)

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = ops.attention(*inputs, is_causal=causal)
        return tape.gradient(output, inputs)

    return gradients if training else forward


def image_training(entry: str, precision: str, batch_size: int = 250) -> Call:
    """Return a training step of an image classifier on random images."""
    import keras

    import keras_attn

    keras.config.set_dtype_policy(precision)
    labels = [str(label) for label in range(10)]
    model = keras_attn.build(entry, label_names=labels)
    model.compile(keras.optimizers.SGD(0.01), model.loss)
    images = _random().integers(0, 256, (batch_size, 32, 32, 3)).astype("uint8")
    targets = _random().integers(0, 10, batch_size)
    return lambda: model.train_on_batch(images, targets)


def text_training(entry: str) -> Call:
    """Return an epoch of a text classifier on 64 texts of random words."""
    import keras

    import keras_attn

    model = keras_attn.build(entry)
    model.compile(keras.optimizers.SGD(0.01), model.loss)
    texts, targets = _texts(64, 200), _random().integers(0, 2, 64)
    return lambda: model.fit(texts, targets, batch_size=64, verbose=0)


def image_answers(entry: str, count: int) -> Call:
    """Return a call of `classify` on random images."""
    import keras_attn

    model = keras_attn.zoo.build(entry)
    images = _random().integers(0, 256, (count, 32, 32, 3)).astype("uint8")
    return lambda: model.classify(images)


def served_texts(entry: str, count: int, words: int) -> Call:
    """Return a call of an exported SavedModel on texts of random words."""
    import tensorflow as tf

    import keras_attn

    with tempfile.TemporaryDirectory() as folder:
        keras_attn.zoo.build(entry).export(folder)
        served = tf.saved_model.load(folder)
    signature = served.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    texts = tf.constant(_texts(count, words))

    def answer() -> Any:
        _ = served  # a signature does not keep its model alive
        return list(signature(**{name: texts}).values())

    return answer


CASES: dict[str, Callable[[], Call]] = {
    "attention/forward/1024": lambda: attention(1024, False, False),
    "attention/forward/1024/bfloat16": lambda: attention(1024, False, False, "bfloat16"),
    "attention/training/256": lambda: attention(256, True, False),
    "attention/training/1024": lambda: attention(1024, True, False),
    "attention/training/causal/2048": lambda: attention(2048, True, True),
    "training/attention_net": lambda: image_training("cifar10_attention_net", "float32"),
    "training/attention_net/bfloat16": lambda: image_training(
        "cifar10_attention_net", "mixed_bfloat16"
    ),
    "training/compact_transformer": lambda: image_training(
        "cifar10_compact_transformer", "float32"
    ),
    "training/compact_transformer/bfloat16": lambda: image_training(
        "cifar10_compact_transformer", "mixed_bfloat16"
    ),
    "training/imdb_transformer": lambda: text_training("imdb_transformer"),
    "training/imdb_recurrent": lambda: text_training("imdb_recurrent_attention"),
    "classify/attention_net/64": lambda: image_answers("cifar10_attention_net", 64),
    "served/imdb_ngram/1": lambda: served_texts("imdb_ngram_attention", 1, 200),
    "served/imdb_ngram/64": lambda: served_texts("imdb_ngram_attention", 64, 200),
    "served/en_de/1": lambda: served_texts("multi30k_en_de_transformer", 1, 12),
    "served/en_de/32": lambda: served_texts("multi30k_en_de_transformer", 32, 12),
}


class CommitCase:
    """A case, by the package of one checkout.

    Args:
        checkout: folder that holds `keras_attn`.
        name: of the case.
    """

    def __init__(self, checkout: str, name: str) -> None:
        sys.path.insert(0, checkout)
        import keras_attn

        imported = pathlib.Path(keras_attn.__file__).resolve()
        if not imported.is_relative_to(pathlib.Path(checkout).resolve()):
            raise RuntimeError(f"keras_attn was imported from {imported}, not from {checkout}.")
        self.call = CASES[name]()

    def step(self) -> float:
        """Return the median seconds of the calls of a turn, one or more."""
        seconds: list[float] = []
        while sum(seconds) < SECONDS_OF_TURN:
            seconds.append(self._seconds_of_call())
        return statistics.median(seconds)

    def _seconds_of_call(self) -> float:
        import tensorflow as tf

        started = time.perf_counter()
        for result in tf.nest.flatten(self.call()):
            np.asarray(result)
        return time.perf_counter() - started


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def _texts(count: int, words: int) -> list[str]:
    known = ["a", "man", "and", "two", "women", "walk", "through", "the", "old", "street"]
    return [" ".join(chosen) for chosen in _random().choice(known, (count, words))]
