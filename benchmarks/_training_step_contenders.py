"""Who makes the training step: the entry on TensorFlow, and the same network on PyTorch."""

import time
from typing import Any

import numpy as np

from keras_attn import datasets, zoo

Recipe = Any


class OnTensorFlow:
    """The entry, by the recipe's own optimizer or by plain SGD.

    Args:
        entry: name in the zoo.
        batch_size: images a step.
        variant: of its recipe, or None.
        xla: whether XLA compiles the step.
        plain: train by SGD with momentum, as the peer does.
        precision: a Keras dtype policy.
    """

    def __init__(
        self,
        entry: str,
        batch_size: int,
        *,
        variant: str | None = None,
        xla: bool = False,
        plain: bool = True,
        precision: str = "float32",
    ) -> None:
        import keras

        from keras_attn.profiling import cost
        from keras_attn.tasks import from_architecture
        from keras_attn.training.optimizer import build_optimizer

        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(precision)
        recipe = zoo.describe(entry).recipe
        self.images, self.labels = examples(recipe, batch_size)
        self.model = from_architecture(
            recipe.architecture,
            datasets.describe_dataset(recipe.dataset).label_names,
            **recipe.settings(variant),
        )
        self.flops = 3 * cost(self.model.network).flops * batch_size
        optimizer = (
            keras.optimizers.SGD(0.01, momentum=0.9) if plain else build_optimizer(recipe, 100)
        )
        self.model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=xla,
        )

    def step(self) -> float:
        """Seconds of one training step."""
        started = time.perf_counter()
        self.model.train_on_batch(self.images, self.labels)
        return time.perf_counter() - started

    def weights_and_logits(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The network's weights by path, and what it gives for a few images."""
        weights = {w.path: np.array(w) for w in self.model.network.weights}
        normalized = np.array(self.model.normalization(self.images[:8]))
        return weights, np.array(self.model.network(normalized, training=True))

    def operations(self) -> int:
        return self.flops


class OnPyTorch:
    """The same network written in PyTorch, eager, channels last, with SGD.

    Args:
        entry: name in the zoo.
        batch_size: images a step.
        threads: threads of an operation.
        autocast: whether the forward pass is autocast to bfloat16.
    """

    def __init__(self, entry: str, batch_size: int, threads: int, autocast: bool = False) -> None:
        import torch
        from _training_step_peer import AttentionNet

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        recipe = zoo.describe(entry).recipe
        images, labels = examples(recipe, batch_size)
        self.torch, self.autocast = torch, autocast
        self.uint8 = torch.from_numpy(images)
        self.labels = torch.from_numpy(labels.astype("int64"))
        self.model = AttentionNet(
            recipe.model, len(datasets.describe_dataset(recipe.dataset).label_names)
        )
        self.model = self.model.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def normalized(self, images: Any) -> Any:
        """Channels-last floats of uint8 images, with the statistics of a fresh classifier."""
        return (images.permute(0, 3, 1, 2).float() - 127.5) / 63.75

    def step(self) -> float:
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.autocast):
            logits = self.model(self.normalized(self.uint8))
        self.torch.nn.functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()
        return time.perf_counter() - started

    def difference(self, weights: dict[str, np.ndarray], logits: np.ndarray) -> float:
        """The largest difference of its logits, with these weights, from those of the entry."""
        self.model.load_keras(weights)
        with self.torch.no_grad():
            received = self.model(self.normalized(self.uint8[:8])).numpy()
        return float(np.abs(received - logits).max())


class MatrixProducts:
    """Products of large float32 matrices, for what the machine can do at most."""

    def __init__(self, size: int = 3072) -> None:
        import tensorflow as tf

        a, b = (tf.random.normal((size, size)) for _ in range(2))
        self.product = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, b)))
        self.flops = 2 * size**3

    def step(self) -> float:
        started = time.perf_counter()
        self.product().numpy()
        return time.perf_counter() - started

    def operations(self) -> int:
        return self.flops


def examples(recipe: Recipe, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 images and labels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, 32, 32, 3)).astype("uint8")
    return images, random.integers(
        0, len(datasets.describe_dataset(recipe.dataset).label_names), batch_size
    )
