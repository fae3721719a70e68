"""Training and validation waveforms of a training run."""

from typing import TYPE_CHECKING, Any

import keras

from keras_attn.batching import (
    EncodedWaveforms,
    EvaluationBatches,
    WaveformBatches,
    limit_batch_size,
)
from keras_attn.datasets import Dataset
from keras_attn.layers import (
    RandomNoise,
    RandomSpectralTilt,
    RandomSpeedPerturbation,
    RandomTimeShift,
    RandomTrim,
)
from keras_attn.profiling import Cost, cost
from keras_attn.recipes import Recipe
from keras_attn.tasks._class_weights import class_weights
from keras_attn.tasks.audio.description import AudioAugmentation, AudioRecipe
from keras_attn.tasks.classification import classification_objective
from keras_attn.tasks.selection_metrics import selection_metric
from keras_attn.tasks.training_data import TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.audio.classifier import AudioClassifier

EVALUATION_BATCH = 100  # waveforms


class AudioTrainingData(TrainingData):
    """Waveforms in batches of similar length, with augmentation layers.

    Args:
        classifier: The model to train.
        dataset: The data set.
        recipe: The recipe of the run, which sets the augmentation.
    """

    def __init__(
        self, classifier: "AudioClassifier", dataset: Dataset[Any], recipe: Recipe
    ) -> None:
        self.network, self.spectrogram = classifier.network, classifier.spectrogram
        assert isinstance(recipe, AudioRecipe)
        self.augmentation = recipe.augmentation
        self.train, self.validation = (
            EncodedWaveforms(classifier._prepare_all(split.inputs), split.labels)
            for split in (dataset["train"], dataset["validation"])
        )
        setting, names = recipe.training.class_weights, classifier.label_names
        weights = class_weights(setting, self.train.labels, names)
        selection = selection_metric(setting, weights, self.validation.labels, names)
        smoothing = recipe.training.label_smoothing
        self.objective = classification_objective(smoothing, weights, selection)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return WaveformBatches(self.train, batch_size, seed=seed, epochs=epochs)

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = limit_batch_size(len(self.validation), EVALUATION_BATCH, replicas)
        return EvaluationBatches(self.validation, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(self.train) // batch_size * batch_size

    def cost(self) -> Cost:
        """Return the cost of a waveform of mean length, without its spectrogram."""
        samples = max(1, round(float(self.train.lengths.mean())))
        return cost(self.network, self.spectrogram.compute_output_shape((1, samples)))

    def augmentations(self, seed: int) -> list[keras.layers.Layer]:
        return augmentation_layers(self.augmentation, seed)


def augmentation_layers(settings: AudioAugmentation, seed: int) -> list[keras.layers.Layer]:
    """Return the layers of a recipe's augmentation, each with a seed of its own."""
    layers: list[keras.layers.Layer] = []
    if settings.trim:
        layers.append(RandomTrim(settings.trim, seed=seed + 5))
    if settings.speed:
        layers.append(RandomSpeedPerturbation(settings.speed, seed=seed + 1))
    if settings.delay:
        layers.append(RandomTimeShift(settings.delay, seed=seed + 2))
    if settings.tilt:
        layers.append(RandomSpectralTilt(settings.tilt, seed=seed + 4))
    if settings.noise:
        lowest, highest = settings.noise
        layers.append(RandomNoise(lowest, highest, seed=seed + 3))
    return layers
