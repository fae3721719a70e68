"""Training and validation pairs of a training run."""

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn._types import Tensor
from keras_attn.batching import EncodedPairs, EvaluationBatches, PairBatches, limit_batch_size
from keras_attn.datasets import Dataset, PairSplit
from keras_attn.models import TranslationModel
from keras_attn.profiling import Cost
from keras_attn.recipes import Recipe
from keras_attn.tasks._token_objective import TokenObjective, has_tied_logits
from keras_attn.tasks.compilation import needs_static_shapes
from keras_attn.tasks.sequence_loss import (
    SequenceCrossentropy,
    TiedCrossentropy,
    TokenAccuracy,
    divergence_of_copies,
)
from keras_attn.tasks.training_data import TrainingData
from keras_attn.tasks.translation import quality
from keras_attn.tasks.translation._pair_model import PairModel
from keras_attn.tasks.translation.description import TranslationRecipe
from keras_attn.text import SubwordDropout

if TYPE_CHECKING:
    from keras_attn.tasks.translation.translator import Translator


class TranslationObjective(TokenObjective):
    """Cross-entropy per token, with the divergence of R-Drop if its weight is not 0.

    Args:
        label_smoothing: Share of the target probability that is distributed over all tokens.
        r_drop: Weight of the divergence between the predictions for the two copies of each pair
            in a batch. With 0, batches have one copy of each pair.
        translator: The model that is trained. With it the loss is computed from the states before
            the logits, unless the logits are quantized, or its class or that of its network
            computes logits in another way.
    """

    def __init__(
        self, label_smoothing: float, r_drop: float, translator: PairModel | None = None
    ) -> None:
        loss, accuracy = SequenceCrossentropy(label_smoothing), TokenAccuracy()
        if translator is not None and has_tied_logits(translator, PairModel, TranslationModel):
            embedding = translator.network.embedding
            loss = TiedCrossentropy(embedding, accuracy, label_smoothing, r_drop)
        super().__init__(loss, accuracy)
        self.r_drop = r_drop

    def penalty(self, targets: Tensor, predictions: Tensor) -> Tensor | float:
        """Return the weighted divergence of R-Drop (Liang et al., arXiv:2106.14448)."""
        if not self.r_drop or isinstance(self.loss, TiedCrossentropy):  # it is in the loss
            return 0.0
        return self.r_drop * divergence_of_copies(targets, predictions)


class TranslationTrainingData(TrainingData):
    """Sentence pairs in batches of ids.

    They are encoded once, or in each epoch with subword dropout.

    Args:
        translator: The model to train, with its subwords.
        dataset: The data set.
        recipe: The recipe of the run, which sets subword dropout and R-Drop.
    """

    def __init__(
        self,
        translator: "Translator",
        dataset: Dataset[PairSplit],
        recipe: Recipe,
    ) -> None:
        assert isinstance(recipe, TranslationRecipe)
        quality.check_packages()
        train, self.validation = dataset["train"], dataset["validation"]
        quality.check_references(self.validation)
        self.translator, self.copies = translator, 2 if recipe.training.r_drop else 1
        self.train = translator.encode(train.sources, train.targets)
        self.validation_pairs = translator.encode(self.validation.sources, self.validation.targets)
        self.subword_dropout = [
            SubwordDropout(translator.tokenizer, texts, recipe.subwords.dropout, normalizer)
            for texts, normalizer in (
                (train.sources, translator.tokenizer.normalizer),
                (train.targets, translator.target_normalizer),
            )
            if recipe.subwords.dropout
        ]
        training = recipe.training
        self.bleu_epochs, self.epochs = training.bleu_epochs, training.epochs
        self.objective = TranslationObjective(training.label_smoothing, training.r_drop, translator)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        def pairs_of_epoch(epoch: int) -> EncodedPairs:
            seeds = np.random.SeedSequence([seed, epoch, 2]).generate_state(2).tolist()
            sides = [side(n) for side, n in zip(self.subword_dropout, seeds, strict=True)]
            return self.translator.paired(*sides)

        return PairBatches(
            pairs_of_epoch if self.subword_dropout else self.train,
            batch_size,
            seed=seed,
            epochs=epochs,
            copies=self.copies,
            static_shapes=needs_static_shapes(),
        )

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        pairs = self.validation_pairs
        size = limit_batch_size(len(pairs), quality.EVALUATION_BATCH, replicas)
        return EvaluationBatches(pairs, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(self.train) * self.copies

    def cost(self) -> Cost:
        """Return the cost of a pair of mean lengths."""
        network = self.translator.network
        lengths = self.train.lengths.mean(), self.train.target_lengths.mean()
        return Cost(parameters=network.count_params(), flops=network.flops(*lengths))

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return [ValidationBleu(self.translator, self.validation, self.bleu_epochs, self.epochs)]


class ValidationBleu(keras.callbacks.Callback):
    """Callback that adds `val_bleu` to the logs at the end of epochs.

    It is the cased BLEU of greedy translations, computed by sacreBLEU with the tokenizer for the
    target language.

    Args:
        translator: The model that translates.
        split: The validation pairs.
        every: Compute BLEU after every so many epochs.
        epochs: Number of epochs of the run. BLEU is also computed after the last one, and after
            one that stops training early.
    """

    def __init__(self, translator: "Translator", split: PairSplit, every: int, epochs: int) -> None:
        super().__init__()
        self.translator, self.split = translator, split
        self.every, self.epochs = every, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Translate the sources and add BLEU to the logs."""
        done = epoch + 1
        is_last = done == self.epochs or getattr(self.model, "stop_training", False)
        if done % self.every and not is_last:
            return
        answers = self.translator.translate(list(self.split.sources), beam_size=1)
        language = quality.target_language(self.split, self.translator.target_language)
        split = dataclasses.replace(self.split, target_language=language)
        bleu = quality.corpus_bleu([answer.text for answer in answers], split)
        if logs is not None:
            logs["val_bleu"] = bleu["bleu"]
