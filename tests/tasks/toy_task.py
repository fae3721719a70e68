"""A whole task in one place: the sum of the digits of a string, by regression.

It is the example that `keras_attn.tasks.Task` points to. The library knows nothing of it: importing
this module registers an architecture, a data set and a task, and with a `recipe.toml` in a
registered catalogue all that the library does for its own tasks works for this one.
"""

import dataclasses
import hashlib
import math
import zlib
from typing import ClassVar, NamedTuple

import keras
import numpy as np

from keras_attn import batching, datasets, models, profiling, recipes
from keras_attn.tasks import Objective, Task, TrainingData

LENGTH = 8  # digits of a string that are read
ERROR = recipes.Metric("error", "mean absolute error", digits=3, greater_is_better=False)


# The network: one file of `models/`, if it were part of the library.


@models.frozen_config
class DigitNetworkConfig:
    """Settings of `digit_network`."""

    units: int = 16


@models.register_architecture("digit_network", task="digit_sum")
def digit_network(config: DigitNetworkConfig) -> keras.Model:
    """Return a network from digits `(B, 8)`, with 10 behind the last, to a number `(B, 1)`."""
    digits = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(11, config.units)(digits)
    x = keras.layers.Dropout(0.05)(keras.layers.Dense(config.units, activation="relu")(x))
    return keras.Model(digits, keras.layers.Dense(1)(keras.ops.sum(x, axis=1)))


# The data: one module of `datasets/`.


@dataclasses.dataclass(frozen=True)
class SumSplit:
    """Strings of digits, and the sum of each."""

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self):
        return len(self.inputs)

    def take(self, indices):
        """Return the examples at `indices`."""
        return SumSplit(self.inputs[indices], self.targets[indices])

    @property
    def fingerprint(self):
        """SHA-256 of strings and sums."""
        return hashlib.sha256("\n".join(self.inputs).encode() + self.targets.tobytes()).hexdigest()

    def batches(self, batch_size, *, shuffle=False, seed=0):
        """Return a `tf.data.Dataset` of `(strings, sums)` batches."""
        return datasets.splits.make_batches(self.inputs, self.targets, batch_size, shuffle, seed)


@datasets.register_dataset("numbers", task="digit_sum")
def load_numbers(data_dir=None):
    """Return drawn strings of one to eight digits."""

    def draw(name, size):
        random = np.random.default_rng(zlib.crc32(name.encode()))
        texts = [
            "".join(map(str, random.integers(10, size=random.integers(1, 9)))) for _ in range(size)
        ]
        sums = [sum(map(int, text)) for text in texts]
        return SumSplit(np.array(texts, object), np.array(sums, "float32"))

    sizes = {"train": 256, "validation": 64, "test": 64}
    readers = {name: (lambda name=name: draw(name, sizes[name])) for name in sizes}
    return datasets.Dataset("numbers", (), readers)


# The task: one folder of `tasks/`.


class DigitSumDescription(recipes.TaskDescription):
    """Strings of digits in, their sums out."""

    name = "digit_sum"
    model = f"{__name__}:DigitSum"
    example, examples = "number", "numbers"
    primary_metric = ERROR
    signature = recipes.Signature(
        (recipes.TensorInfo("texts", "string", ("B",), "digits"),),
        (recipes.TensorInfo("sum", "float32", ("B",), "their sums"),),
    )
    usage = 'answers(["2718"])  # the sum of the digits'


class Sum(NamedTuple):
    """The answer to one string."""

    value: float

    def to_dict(self):
        """Return the answer for JSON."""
        return {"sum": self.value}

    def to_columns(self, top=1):
        """Return the answer for a table."""
        return {"sum": f"{self.value:.2f}"}


@keras.saving.register_keras_serializable(package="toy")
class DigitSum(Task):
    """A network with what makes digits of strings."""

    description: ClassVar = recipes.register_task(DigitSumDescription())

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.built = True
        self.compile("adam", "mse", metrics=["mae"])

    @classmethod
    def from_architecture(cls, architecture, *, label_names=(), preprocessing=None, **settings):
        """Return a model with fresh weights."""
        return cls(models.build(architecture, **settings))

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def preprocess_inputs(self, x, *, training=False):
        """Convert strings into digits `(N, 8)`."""
        rows = [str(text)[:LENGTH].ljust(LENGTH, ":") for text in x]  # ":" follows "9" in ASCII
        return np.array([[ord(sign) - ord("0") for sign in row] for row in rows], "int32")

    def preprocess_batch(self, x, *rest, training=False):
        """Convert a string tensor into digits `(B, 8)`."""
        import tensorflow as tf

        codes = tf.io.decode_raw(tf.strings.substr(x, 0, LENGTH), tf.uint8, fixed_length=LENGTH)
        digits = tf.where(codes > 0, tf.cast(codes, tf.int32) - ord("0"), 10)
        return (digits, *rest) if rest else digits

    def training_data(self, dataset, recipe):
        """Return the training and validation examples."""
        return SumData(self, dataset)

    def evaluate_split(self, split):
        """Return mean absolute error and mean squared error."""
        differences = self.predict(split.inputs, verbose=0)[:, 0] - split.targets
        return {
            "error": float(np.abs(differences).mean()),
            "loss": float(np.square(differences).mean()),
            "examples": len(split),
        }

    def answers(self, inputs, *, batch_size=256):
        """Return the sum of each string of digits."""
        sums = self.predict(list(inputs), batch_size=batch_size, verbose=0)
        return [Sum(float(value)) for value in sums[:, 0]]

    def serving_function(self):
        """Return the function to export."""
        return lambda texts: {"sum": self(self.preprocess_batch(texts), training=False)[:, 0]}


class SumData(TrainingData):
    """Digits of training and validation strings."""

    def __init__(self, model, dataset):
        self.objective = Objective(
            keras.losses.MeanSquaredError(),
            keras.metrics.MeanAbsoluteError(name="error"),
            greater_is_better=False,
        )
        self.network = model.network
        self.train, self.validation = (
            (model.preprocess_inputs(split.inputs), split.targets[:, None])
            for split in (dataset["train"], dataset["validation"])
        )

    def batches(self, batch_size, seed, epochs):
        return SumBatches(*self.train, batch_size, epochs, seed)

    def validation_batches(self, replicas):
        return SumBatches(*self.validation, 32)

    def examples_per_epoch(self, batch_size):
        return len(self.train[0])

    def cost(self):
        return profiling.cost(self.network)


class SumBatches(keras.utils.PyDataset):
    """The batches of all epochs, shuffled if there is a seed."""

    def __init__(self, digits, sums, batch_size, epochs=1, seed=None):
        super().__init__()
        self.digits, self.sums = digits, sums
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed
        self.steps = math.ceil(len(digits) / batch_size)

    def __len__(self):
        return self.steps * self.epochs

    def __getitem__(self, index):
        epoch, step = divmod(index, self.steps)
        rows = np.arange(len(self.digits))
        if self.seed is not None:
            rows = batching.epoch_order(len(rows), self.seed, epoch)
        rows = rows[step * self.batch_size : (step + 1) * self.batch_size]
        return self.digits[rows], self.sums[rows]
