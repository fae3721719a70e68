"""Training and validation documents of a training run."""

from typing import TYPE_CHECKING, Any

import keras

from keras_attn.batching import DocumentBatches, EncodedDocuments, WindowBatches, limit_batch_size
from keras_attn.datasets import Dataset
from keras_attn.models import CausalTransformer
from keras_attn.profiling import Cost
from keras_attn.recipes import Recipe
from keras_attn.tasks._token_objective import TokenObjective, has_tied_logits
from keras_attn.tasks.compilation import needs_static_shapes
from keras_attn.tasks.generation._fitting import GenerationFitting
from keras_attn.tasks.sequence_loss import (
    SequenceCrossentropy,
    TiedCrossentropy,
    TokenAccuracy,
    TokenCrossentropy,
)
from keras_attn.tasks.training_data import TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.generation.generator import TextGenerator

EVALUATION_BATCH = 32  # windows


class GenerationObjective(TokenObjective):
    """Cross-entropy per token.

    Args:
        label_smoothing: Share of the target probability that is distributed over all tokens.
        generator: The model that is trained. With it and without label smoothing, the loss is
            computed from the states before the logits, unless the logits are quantized, or its
            class or that of its network computes logits in another way.
    """

    def __init__(self, label_smoothing: float, generator: GenerationFitting | None = None) -> None:
        loss, accuracy = SequenceCrossentropy(label_smoothing), TokenAccuracy()
        crossentropy = TokenCrossentropy()
        if (
            generator is not None
            and not label_smoothing
            and has_tied_logits(generator, GenerationFitting, CausalTransformer)
        ):
            embedding = generator.network.embedding
            loss = TiedCrossentropy(embedding, accuracy, crossentropy=crossentropy)
        super().__init__(loss, accuracy, selection=crossentropy, greater_is_better=False)


class GenerationTrainingData(TrainingData):
    """Documents in windows of the length of the context.

    Args:
        generator: The model to train, with its tokenizer.
        dataset: The data set.
        recipe: The recipe of the run.
    """

    def __init__(self, generator: "TextGenerator", dataset: Dataset[Any], recipe: Recipe) -> None:
        self.generator = generator
        self.length = generator.network.config.context_length
        self.train = generator.encode(dataset["train"].documents)
        self.validation = generator.encode(dataset["validation"].documents)
        self.objective = GenerationObjective(recipe.training.label_smoothing, generator)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return WindowBatches(
            self.train,
            self.length,
            batch_size,
            seed=seed,
            epochs=epochs,
            static_shapes=needs_static_shapes(),
        )

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        count = len(DocumentBatches(self.validation, self.length, 1))
        size = limit_batch_size(count, EVALUATION_BATCH, replicas)
        return DocumentBatches(self.validation, self.length, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(DocumentBatches(self.train, self.length, 1))

    def cost(self) -> Cost:
        """Return the cost of a window of mean length."""
        network = self.generator.network
        length = mean_length(self.train, self.length)
        return Cost(parameters=network.count_params(), flops=network.flops(length))


def mean_length(encoded: EncodedDocuments, length: int) -> float:
    """Return the mean number of tokens that a window of documents predicts."""
    places = DocumentBatches(encoded, length, 1).places
    return float(places[:, 2].mean()) if len(places) else 0.0
