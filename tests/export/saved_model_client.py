"""Run in a process of its own: a SavedModel's user, who has TensorFlow and nothing of ours.

Each folder that it is given holds a `model`, and batches `images-*.npy` of images, or
`texts-*.json` of texts, which are hexadecimal because not all of them are valid.
"""

import importlib.abc
import importlib.machinery
import json
import pathlib
import sys


class Refuse(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes some packages impossible to import. (TensorFlow looks for keras, lazily.)"""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("keras", "keras_attn", "tf_keras"):
            return importlib.machinery.ModuleSpec(name, self, origin=__file__)
        return None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is not installed here")


def main(*folders):
    sys.meta_path.insert(0, Refuse())
    import tensorflow  # noqa: F401

    for name in ("keras", "keras_attn"):
        try:
            __import__(name)
        except ImportError:
            continue
        raise AssertionError(f"{name} could be imported")
    for folder in folders:
        ask(folder)


def ask(folder):
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "model"))
    serve = loaded.signatures["serving_default"]
    (reads,) = serve.structured_input_signature[1]  # images, or texts
    further = ["bytes"] if reads == "images" else []
    assert sorted(loaded.signatures) == [*further, "serve", "serving_default"]
    for path in sorted(folder.glob(f"{reads}-*")):
        if reads == "images":
            batch = tf.constant(np.load(path))
        else:
            texts = [bytes.fromhex(text) for text in json.loads(path.read_text())]
            batch = tf.constant(texts, tf.string)
        answers = serve(**{reads: batch})
        arrays = {name: value.numpy() for name, value in answers.items()}
        arrays["label"] = arrays["label"].astype("U")
        np.savez(folder / f"answers-{path.stem.removeprefix(f'{reads}-')}.npz", **arrays)
    refused = {
        "images": (
            tf.zeros((1, 32, 32, 3)),
            tf.zeros((32, 32, 3), tf.uint8),
            tf.zeros((1, 0, 32, 3), tf.uint8),
            *(tf.zeros((1, 32, 32, channels), tf.uint8) for channels in (0, 1, 2, 4)),
        ),
        "texts": (tf.zeros((1,)), tf.constant([["a"]])),
    }
    for wrong in refused[reads]:
        try:
            serve(**{reads: wrong})
        except (tf.errors.InvalidArgumentError, TypeError, ValueError):
            continue
        raise AssertionError(f"{wrong.dtype} {wrong.shape} was accepted")


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
