"""Run in a process of its own: a small run under a strategy, whose weights are written out."""

import argparse
import os
import pathlib
import signal
import sys

import keras
import numpy as np

from keras_attn import datasets, training
from keras_attn.recipes import parse_recipe
from keras_attn.training import trainer
from keras_attn.training.interruption import TERMINATED
from tests.training.train_small import After

IMAGES = {
    "task": "image_classification",
    "description": "small",
    "dataset": "shapes",
    "architecture": "attention_net",
    "model": {
        "stem": "whitening",
        "block": "plain",
        "stage_filters": (6, 8),
        "stage_downsample": ("max", "max"),
        "kernel_initializer": "dirac",
        "batch_norm_scale": False,
        "num_heads": 2,
    },
    "optimizer": {
        "name": "muon",
        "learning_rate": 0.02,
        "momentum": 0.6,
        "normalize": "convolution/kernel$",
        "groups": [
            {"match": "attention/gamma$", "name": "adamw", "learning_rate": 0.01},
            {"name": "sgd", "learning_rate": 0.1},
        ],
    },
    "training": {"epochs": 2, "batch_size": 32, "label_smoothing": 0.1, "ema": 0.9},
}
TEXTS = {
    "task": "text_classification",
    "description": "small",
    "dataset": "remarks",
    "architecture": "text_transformer",
    "model": {"vocabulary_sizes": (100, 150), "embedding_dim": 4, "model_dim": 8, "num_heads": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.003},
    "training": {"epochs": 2, "batch_size": 16, "ema": 0.9},
}
PAIRS = {
    "task": "translation",
    "description": "small",
    "dataset": "multi30k_en_fr",
    "architecture": "translation_transformer",
    "model": {
        "vocabulary_size": 320,
        "model_dim": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 8,
        "dropout": 0.0,
    },
    "optimizer": {"name": "sgd", "learning_rate": 0.2},
    "training": {"epochs": 2, "batch_size": 150, "label_smoothing": 0.1, "ema": 0.9},
}
RECIPES = {"images": IMAGES, "texts": TEXTS, "pairs": PAIRS}


def dataset(kind):
    """What is trained on: few examples, and so many that validation batches are uneven."""
    if kind == "images":
        return datasets.shapes.draw_shapes(
            seed=1, sizes={"train": 192, "validation": 33, "test": 32}
        )
    if kind == "texts":
        return datasets.remarks.draw_remarks(
            seed=1, sizes={"train": 150, "validation": 61, "test": 60}
        )
    words = {"a": "un", "the": "le", "dog": "chien", "cat": "chat", "runs": "court"}
    random = np.random.default_rng(0)
    sources = [" ".join(random.choice(list(words), size=random.integers(2, 9))) for _ in range(80)]
    targets = [" ".join(words[word] for word in source.split()) for source in sources]
    whole = datasets.PairSplit(np.array(sources, object), np.array(targets, object))
    splits = {"train": slice(0, 61), "validation": slice(61, 70), "test": slice(70, 80)}
    readers = {name: (lambda rows=rows: whole.take(rows)) for name, rows in splits.items()}
    return datasets.Dataset("multi30k_en_fr", (), readers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=RECIPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--strategy", default="none")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-at", type=int, help="SIGKILL to the last worker at this step")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    recipe = parse_recipe(RECIPES[arguments.kind])
    settings = recipe.training.model_copy(update={"precision": arguments.precision})
    recipe = recipe.model_copy(update={"training": settings})
    look = Look()
    if arguments.kill_at:
        last = os.environ["TF_CONFIG"].endswith('"index": 1}}')
        act = After(lambda: os.kill(os.getpid(), signal.SIGKILL), step=arguments.kill_at)
        restore = trainer.Restore
        if last:
            trainer.Restore = lambda *given: _Both(restore(*given), act)
    try:
        run = training.train(
            recipe,
            arguments.folder,
            dataset=dataset(arguments.kind),
            strategy=arguments.strategy,
            devices=arguments.devices,
            resume=arguments.resume,
            callbacks=[look],
            verbose=0,
        )
    except (training.InterruptedTrainingError, training.WorkerLostError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(TERMINATED)
    if run.record:
        learner = look.model
        for variable in learner.task.weights:
            values = [np.array(v) for v in _replicas(learner, variable)]
            for value in values[1:]:
                np.testing.assert_array_equal(values[0], value, err_msg=variable.path)
        np.savez(
            arguments.folder / "weights.npz",
            *[np.array(weight) for weight in run.model.get_weights()],
        )
        if arguments.kind == "images":
            run.model.export(arguments.folder / "serving")
        print("replicas:", len(values))


def _replicas(learner, variable):
    strategy = learner.distribute_strategy
    return [value.numpy() for value in strategy.experimental_local_results(variable.value)]


class Look(keras.callbacks.Callback):
    """Keeps the model that is trained, as `model`."""


class _Both(trainer.Restore):
    """A callback, and another within it."""

    def __init__(self, first, second):
        super().__init__(first.seed, first.state)
        self.second = second

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.second.set_model(self.model)
        self.second.on_train_batch_end(batch, logs)


if __name__ == "__main__":
    sys.exit(main())
