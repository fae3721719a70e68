"""The translator: a task that converts strings of one language into another."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np

from keras_attn import models
from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted
from keras_attn.batching import EncodedPairs
from keras_attn.datasets import Dataset, DatasetInfo, PairSplit
from keras_attn.decoding import beam_search
from keras_attn.export import write_ctranslate2
from keras_attn.models import TranslationModel, TranslationTransformer
from keras_attn.ops import sinusoidal
from keras_attn.recipes import Recipe, TaskDescription
from keras_attn.tasks._adaptation import effective_weights
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.tasks.sequence_loss import (
    SequenceCrossentropy,
    TokenAccuracy,
    token_losses,
)
from keras_attn.tasks.translation import quality
from keras_attn.tasks.translation._pair_model import Texts
from keras_attn.tasks.translation._search import BATCH, Searches, search_batch
from keras_attn.tasks.translation._search_model import SearchModel, beam_settings
from keras_attn.tasks.translation.answers import END, Alignment, source_words
from keras_attn.tasks.translation.ctranslate2 import INFO_FILE
from keras_attn.tasks.translation.description import DESCRIPTION
from keras_attn.tasks.translation.training_data import TranslationTrainingData
from keras_attn.text import Normalizer, SubwordTokenizer

VOCABULARY_FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="keras_attn")
class Translator(SearchModel):
    """A network with subwords that translates sentences.

    It is a `keras.Model`: `fit` and `evaluate` take sources and targets, as two lists, arrays or
    columns of pandas of strings, or as a `tf.data.Dataset` of batches of string pairs; or they
    take the network's inputs. `save` includes the subwords. It is compiled with Adam; call
    `compile` to change that. A new model needs subwords: call `adapt` first.

    Args:
        network: A model from ids to logits, such as a `keras_attn.models.TranslationTransformer`.
        tokenizer: The tokenizer that converts strings into ids, with at most as many ids as the
            network. It may be empty until `adapt` is called.
        max_length: Maximum number of subwords of a text and of a translation. Longer ones are
            truncated.
        min_count: Minimum number of occurrences of a pair of subwords that `adapt` merges.
        target_language: Code of the target language, such as `"fr"`, which selects the rules of
            tokenization for BLEU. None if it is not known; `adapt` sets it if the script of the
            targets shows it, as that of Chinese does.
        fold_targets: Whether targets are normalized as sources are, with quotes, dashes and
            full-width forms in ASCII. False keeps them as they are written, so that the model
            learns to write them.
        **kwargs: See `keras_attn.tasks.Task`.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, ids from `encode`.

    Returns:
        Float32 logits `(B, T, V)` of the token after each target token.

    Raises:
        ValueError: The tokenizer has more ids than the network, or a number is below 1.
    """

    description: ClassVar[TaskDescription] = DESCRIPTION
    parts: ClassVar[tuple[str, ...]] = ("network", "tokenizer")
    asset_files: ClassVar[tuple[str, ...]] = (VOCABULARY_FILE,)

    def __init__(
        self,
        network: TranslationModel,
        tokenizer: SubwordTokenizer,
        max_length: int = 256,
        min_count: int = 2,
        target_language: str | None = None,
        fold_targets: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.tokenizer = tokenizer
        check_positive_integer("max_length", max_length)
        check_positive_integer("min_count", min_count)
        self.max_length = max_length
        self.min_count = min_count
        self.target_language = target_language
        self.fold_targets = fold_targets
        self._searches = Searches(network)
        self._check_size(tokenizer)
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=SequenceCrossentropy(label_smoothing=0.1),
            metrics=[TokenAccuracy()],
            jit_compile=compile_mode(),
        )

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a translator with fresh weights, see `Task.from_architecture`.

        Args:
            architecture: A registered architecture for translation.
            label_names: Must be empty, because a translator has no labels.
            preprocessing: `max_length`, `lowercase`, `min_count` and `fold_targets`.
            **settings: Settings of the architecture.

        Raises:
            ValueError: There are labels, or a setting is unknown or out of range.
        """
        if label_names:
            raise ValueError(f"A translator has no labels. Received: label_names={label_names!r}.")
        options = dict(preprocessing or {})
        normalizer = Normalizer(lowercase=options.pop("lowercase", False), html=False)
        network = models.build(architecture, **settings)
        return cls(network, SubwordTokenizer(normalizer=normalizer), **options)

    def use_dataset_info(self, info: DatasetInfo | Dataset[Any]) -> None:
        """Set the target language from the description of a data set."""
        self.target_language = info.language

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> TranslationTrainingData:
        """Return training and validation pairs as batches of ids, see `Task.training_data`."""
        return TranslationTrainingData(self, dataset, recipe)

    def evaluate_split(self, split: PairSplit) -> dict[str, Any]:
        """Return loss, accuracy, BLEU and chrF of a split.

        See `keras_attn.tasks.translation.quality.evaluate_translations`.
        """
        return quality.evaluate_translations(self, split)

    def example_answers(self, split: PairSplit, count: int = 5) -> list[ExampleAnswer]:
        """Return sentences at equal distances with their translations, see `Task.example_answers`.

        The first ones of a split that is sorted by length would be the shortest.
        """
        sources = split.sources
        indices = np.linspace(0, len(sources) - 1, min(count, len(sources))).astype(int)
        chosen = split.take(indices)
        return [
            ExampleAnswer(source, target, answer.text, answer.score)
            for source, target, answer in zip(
                chosen.sources, chosen.targets, self.translate(chosen.sources), strict=True
            )
        ]

    def score(self, sources: Texts, targets: Texts, batch_size: int = BATCH) -> np.ndarray:
        """Return the log-probabilities of translations in nats, float32 `(N,)`, in input order.

        That of an empty translation is the log-probability of its end token.

        Args:
            sources: Sources, as for `fit`.
            targets: A translation of each source.
            batch_size: Number of pairs in a batch. Pairs of similar length are batched together.

        Raises:
            ValueError: The numbers of sources and targets differ, or `batch_size` is not a
                positive integer.
        """
        check_positive_integer("batch_size", batch_size)
        pairs = self.encode(sources, targets)
        scores = np.zeros(len(pairs), "float32")
        order = np.argsort(pairs.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs, outputs = pairs.batch(rows)
            _, losses = token_losses(outputs, self.predict_on_batch(inputs))
            scores[rows] = -keras.ops.convert_to_numpy(losses).sum(axis=1)
        return scores

    def logits(self, sources: Texts, targets: Texts, batch_size: int = BATCH) -> list[np.ndarray]:
        """Return the logits of translations, in input order.

        Args:
            sources: Sources, as for `fit`.
            targets: A translation of each source.
            batch_size: Number of pairs in a batch. Pairs of similar length are batched together.

        Returns:
            For each pair a float32 array `(T, V)`: the logits at each target token and at the end
            token, given the tokens before it.

        Raises:
            ValueError: See `score`.
        """
        check_positive_integer("batch_size", batch_size)
        pairs = self.encode(sources, targets)
        logits: list[Any] = [None] * len(pairs)
        order = np.argsort(pairs.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs, _ = pairs.batch(rows)
            for row, values in zip(rows, self.predict_on_batch(inputs), strict=True):
                logits[row] = values[: len(pairs.targets[row]) + 1]
        return logits

    def explain(self, text: str, target: str | None = None) -> Alignment:
        """Return where each target subword attended, and what it depends on.

        The effect of a word of the source is measured by leaving it out: one more pass of the
        network for each word.

        Args:
            text: The source.
            target: The translation to explain. None explains the result of `translate`.

        Raises:
            TypeError: `text` is not a single string.
            ValueError: `text` has no words.

        Example: see `keras_attn.tasks.plot_alignment`.
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"`text` must be one string. Received: {type(text).__name__}.")
        target = self.translate(text).text if target is None else target
        pairs = self.encode([text], [target])
        if len(pairs.sources[0]) < 2:
            raise ValueError(f"`text` must have at least one word. Received: {text!r}.")
        inputs, _ = pairs.batch([0], multiple=1)
        scores = {
            stage: np.stack([keras.ops.convert_to_numpy(layer)[0] for layer in layers])
            for stage, layers in self.network.attention_scores(inputs).items()
        }
        tokens = self.tokenizer.token_strings(pairs.sources[0][:-1])
        words = source_words(tokens)
        return Alignment(
            (*tokens, END),
            (*self.tokenizer.token_strings(pairs.targets[0]), END),
            **scores,
            words=words,
            leave_one_out=self._leave_one_out(pairs, words),
        )

    def _leave_one_out(self, pairs: EncodedPairs, words: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the decrease of the log-probability of each target token without each word.

        Args:
            pairs: A single pair.
            words: The subwords of each of its `W` words, see `Alignment`.

        Returns:
            Float32 array `(T, W)`, `T` with the end token.
        """
        source, target = pairs.sources[0], pairs.targets[0]
        sources = [source] + [np.delete(source, slice(start, end)) for start, end in words]
        versions = dataclasses.replace(pairs, sources=sources, targets=[target] * len(sources))
        parts = []
        for start in range(0, len(sources), BATCH):
            inputs, outputs = versions.batch(range(start, min(start + BATCH, len(sources))))
            _, losses = token_losses(outputs, self.predict_on_batch(inputs))
            parts.append(keras.ops.convert_to_numpy(losses)[:, : len(target) + 1])
        losses = np.concatenate(parts)
        return (losses[1:] - losses[0]).T.astype("float32")

    def serving_function(
        self,
        beam_size: int = 4,
        length_penalty: float = 1.0,
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
    ) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from sentences to translations with scores.

        It includes tokenization, beam search and detokenization. Texts are truncated to
        `max_length` subwords.

        Args:
            beam_size: Number of beams. 1 is greedy search.
            length_penalty: See `translate`.
            min_length: See `translate`.
            no_repeat_ngram_size: See `translate`.
            banned_words: See `translate`.
        """
        settings = beam_settings(beam_size, 1, length_penalty)
        settings |= self._restrictions(min_length, no_repeat_ngram_size, banned_words, None)
        import tensorflow as tf

        def serve(texts: Any) -> dict[str, Any]:
            texts = tf.ensure_shape(texts, (None,))  # a signature does not check it
            source = self.source_ids(texts)
            prefix = tf.zeros([tf.shape(texts)[0], 0], tf.int32)
            result = search_batch(
                self.network, beam_search, settings, self.max_length, source, prefix
            )
            best = result.ids[:, 0]
            has_words = tf.math.count_nonzero(source, axis=1) > 1  # the end is always there
            best = tf.where((best < self.tokenizer.size) & has_words[:, None], best, 0)
            score = tf.where(has_words, result.log_probabilities[:, 0], 0.0)
            characters, known = self.tokenizer.count_characters(source)
            return {
                "text": self.tokenizer.detokenize(best),
                "score": score,
                "characters": characters,
                "known_characters": known,
            }

        return serve

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`."""
        return {**super().export_writers(), "ctranslate2": self._write_ctranslate2}

    def _write_ctranslate2(
        self, path: pathlib.Path, quantization: str | None = None
    ) -> pathlib.Path:
        """Write a folder for `keras_attn.tasks.CTranslate2Translator`.

        Args:
            path: Folder to write.
            quantization: `"int8"` to store the weights of products in int8, or None.

        Raises:
            ValueError: The network is no Transformer with softmax attention.
        """
        network, config = self.network, self.network.config
        if not isinstance(network, TranslationTransformer) or config.attention != "softmax":
            raise ValueError(
                "CTranslate2 runs Transformers with softmax attention. Received: a "
                f"{type(network).__name__} with attention={config.attention!r}. Use 'saved_model'."
            )
        if not self._is_adapted:
            raise RuntimeError("This translator has no subwords. Call `adapt` first.")
        info = {
            **self.export_info(),
            "max_length": self.max_length,
            "normalizer": dataclasses.asdict(self.tokenizer.normalizer),
            "pieces": list(self.tokenizer.pieces),
        }
        weights = effective_weights(network)
        length = max(512, self.max_length + 2)
        positions = keras.ops.convert_to_numpy(sinusoidal(np.arange(length), config.model_dim))
        return write_ctranslate2(
            path,
            weights,
            positions,
            activation=config.activation,
            quantization=quantization,
            files={INFO_FILE: json.dumps(info, indent=2, ensure_ascii=False)},
        )

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return {"serving_default": {"texts": ["A sentence of a few words."]}}

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write the subwords to `vocabulary.txt`, one per line."""
        self.tokenizer.write(pathlib.Path(folder, VOCABULARY_FILE))

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read the subwords from `vocabulary.txt`.

        Raises:
            ValueError: The file is missing or damaged, or it has too many subwords.
        """
        self.tokenizer.read(pathlib.Path(folder, VOCABULARY_FILE))
        self._check_size(self.tokenizer)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "min_count": self.min_count,
            "target_language": self.target_language,
            "fold_targets": self.fold_targets,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        # Version 0.1 folded targets, and did not save that.
        return super().from_config({"fold_targets": True, **config}, custom_objects)

    def _check_size(self, tokenizer: SubwordTokenizer) -> None:
        vocabulary_size = self.network.config.vocabulary_size
        if tokenizer.size > vocabulary_size:
            raise ValueError(
                "The tokenizer must not have more ids than the network embeds. Received: a "
                f"tokenizer of {counted(tokenizer.size, 'id')}, a network of {vocabulary_size}."
            )
