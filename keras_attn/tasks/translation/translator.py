"""The translator: a task that converts strings of one language into another."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, overload

import keras
import numpy as np

from keras_attn import models
from keras_attn._token_ids import END_ID
from keras_attn._validation import check_positive_integer
from keras_attn.datasets import Dataset, DatasetInfo, PairSplit
from keras_attn.decoding import beam_search, sample
from keras_attn.decoding._rules import check_filters, check_length_penalty
from keras_attn.models import TranslationModel
from keras_attn.recipes import Recipe, TaskDescription
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.translation import quality
from keras_attn.tasks.translation._pair_model import PairModel, Texts
from keras_attn.tasks.translation._search import BATCH, Search, Searches, search_batch
from keras_attn.tasks.translation._sentences import sentence_ids, sentence_texts
from keras_attn.tasks.translation.answers import END, Alignment, Translation
from keras_attn.tasks.translation.description import DESCRIPTION
from keras_attn.tasks.translation.sequence_loss import (
    SequenceCrossentropy,
    TokenAccuracy,
    token_losses,
)
from keras_attn.tasks.translation.training_data import TranslationTrainingData
from keras_attn.text import Normalizer, SubwordTokenizer

VOCABULARY_FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="keras_attn")
class Translator(PairModel):
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
            tokenization for BLEU. None if it is not known.
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
            preprocessing: `max_length`, `lowercase` and `min_count`.
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

    def use_dataset_info(self, info: DatasetInfo) -> None:
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

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self,
        texts: str | bytes,
        beam_size: int = 4,
        *,
        n_best: Literal[1] = 1,
        length_penalty: float = 1.0,
        prefix: str = "",
        max_length: int | None = None,
        batch_size: int = BATCH,
    ) -> Translation: ...

    @overload
    def translate(
        self,
        texts: Texts,
        beam_size: int = 4,
        *,
        n_best: Literal[1] = 1,
        length_penalty: float = 1.0,
        prefix: str | Texts = "",
        max_length: int | None = None,
        batch_size: int = BATCH,
    ) -> list[Translation]: ...

    @overload
    def translate(
        self,
        texts: str | bytes | Texts,
        beam_size: int = 4,
        *,
        n_best: int,
        length_penalty: float = 1.0,
        prefix: str | Texts = "",
        max_length: int | None = None,
        batch_size: int = BATCH,
    ) -> Any: ...

    def translate(
        self,
        texts: str | bytes | Texts,
        beam_size: int = 4,
        *,
        n_best: int = 1,
        length_penalty: float = 1.0,
        prefix: str | Texts = "",
        max_length: int | None = None,
        batch_size: int = BATCH,
    ) -> Any:
        """Translate one or several texts by beam search.

        The translation of a text without words is empty. A translation of a text of `n` subwords
        has at most `2 * n + 10` subwords.

        Args:
            texts: A string, or a list, array or column of pandas of strings.
            beam_size: Number of beams. 1 is greedy search.
            n_best: Number of translations to return for each text, at most `beam_size`.
            length_penalty: With 0, translations are ranked by log-probability. Larger values
                favor longer translations, see `keras_attn.decoding.Hypotheses`.
            prefix: Text that every translation must begin with; or a list with one for each text.
            max_length: Maximum number of subwords of a translation. None is the translator's
                `max_length`.
            batch_size: Number of texts in a batch. Texts of similar length are batched together.

        Returns:
            A `Translation` for a single text, a list of them for several texts. If `n_best` is
            above 1, each `Translation` is replaced by a list of them, best first.

        Raises:
            TypeError: An element of `texts` is not a string.
            ValueError: A number is out of range, the numbers of prefixes and texts differ, or a
                prefix has more than `max_length` subwords.

        Warns:
            UserWarning: A text has more than `max_length` subwords; the rest is not translated.
        """
        settings = _beam_settings(beam_size, n_best, length_penalty)
        return self._search(beam_search, settings, texts, prefix, max_length, None, batch_size)

    def sample(
        self,
        texts: str | Texts,
        n: int = 1,
        *,
        seed: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prefix: str | Texts = "",
        max_length: int | None = None,
        batch_size: int = BATCH,
    ) -> Any:
        """Sample translations from the model's distribution.

        Args:
            texts: A string, or a list, array or column of pandas of strings.
            n: Number of translations to sample for each text.
            seed: Integer from 0. The same seed and texts give the same translations.
            temperature: See `keras_attn.decoding.sample`.
            top_k: See `keras_attn.decoding.sample`.
            top_p: See `keras_attn.decoding.sample`.
            prefix: See `translate`.
            max_length: See `translate`.
            batch_size: See `translate`.

        Returns:
            The same as `translate` returns, with `n` in place of `n_best`. Scores are those at
            temperature 1.

        Raises:
            TypeError, ValueError: See `translate`.
        """
        check_positive_integer("n", n)
        check_filters(temperature, top_k, top_p)
        settings = {
            "num_return": n,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
        }
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(f"`seed` must be an integer from 0 to 2**31 - 1. Received: {seed!r}.")
        return self._search(sample, settings, texts, prefix, max_length, seed, batch_size)

    def score(self, sources: Texts, targets: Texts, batch_size: int = BATCH) -> np.ndarray:
        """Return the log-probabilities of translations in nats, float32 `(N,)`, in input order.

        Args:
            sources: Sources, as for `fit`.
            targets: A translation of each source.
            batch_size: Number of pairs in a batch. Pairs of similar length are batched together.

        Raises:
            ValueError: The numbers of sources and targets differ.
        """
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
        """
        pairs = self.encode(sources, targets)
        logits: list[Any] = [None] * len(pairs)
        order = np.argsort(pairs.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs, _ = pairs.batch(rows)
            for row, values in zip(rows, self.predict_on_batch(inputs), strict=True):
                logits[row] = values[: len(pairs.targets[row]) + 1]
        return logits

    def answers(
        self,
        inputs: Sequence[Any],
        *,
        beam_size: int = 4,
        n_best: int = 1,
        batch_size: int = BATCH,
    ) -> list[Any]:
        """Return the translation of each text, or `n_best` of them, see `translate`."""
        return self.translate(list(inputs), beam_size, n_best=n_best, batch_size=batch_size)

    def explain(self, text: str, target: str | None = None) -> Alignment:
        """Return the attention of each target subword to the source subwords.

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
        return Alignment(
            (*self.tokenizer.token_strings(pairs.sources[0][:-1]), END),
            (*self.tokenizer.token_strings(pairs.targets[0]), END),
            **scores,
        )

    def serving_function(
        self, beam_size: int = 4, length_penalty: float = 1.0
    ) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from sentences to translations with scores.

        It includes tokenization, beam search and detokenization. Texts are truncated to
        `max_length` subwords.

        Args:
            beam_size: Number of beams. 1 is greedy search.
            length_penalty: See `translate`.
        """
        settings = _beam_settings(beam_size, 1, length_penalty)
        import tensorflow as tf

        def serve(texts: Any) -> dict[str, Any]:
            source = self.source_ids(texts)
            prefix = tf.zeros([tf.shape(texts)[0], 0], tf.int32)
            result = search_batch(
                self.network, beam_search, settings, self.max_length, source, prefix
            )
            best = result.ids[:, 0]
            has_words = tf.math.count_nonzero(source, axis=1) > 1  # the end is always there
            best = tf.where((best < self.tokenizer.size) & has_words[:, None], best, 0)
            score = tf.where(has_words, result.log_probabilities[:, 0], 0.0)
            return {"text": self.tokenizer.detokenize(best), "score": score}

        return serve

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
        }

    def _search(
        self,
        search: Search,
        settings: dict[str, Any],
        texts: Any,
        prefix: str | Texts,
        max_length: int | None,
        seed: int | None,
        batch_size: int,
    ) -> Any:
        """Return `num_return` translations of each text, or of a single text."""
        check_positive_integer("batch_size", batch_size)
        if isinstance(texts, str | bytes):
            arguments = (prefix, max_length, seed, batch_size)
            return self._search(search, settings, [texts], *arguments)[0]
        texts = as_texts(texts)
        single_prefix = isinstance(prefix, str | bytes)
        prefixes = [prefix] * len(texts) if single_prefix else as_texts(prefix, "prefix")
        if len(prefixes) != len(texts):
            raise ValueError(
                "There must be one prefix for all texts, or one for each. Received: "
                f"{len(prefixes)} prefixes, {len(texts)} texts."
            )
        longest = self.max_length if max_length is None else max_length
        check_positive_integer("max_length", longest)
        prefix_ids = [np.zeros(0, "int32")] * len(texts)
        if any(text not in ("", b"") for text in prefixes):
            prefix_ids = sentence_ids(self.tokenizer, prefixes)
        if (longest_prefix := max(map(len, prefix_ids), default=0)) > longest:
            raise ValueError(
                f"A translation of at most {longest} subwords cannot begin with a prefix of "
                f"{longest_prefix}. Shorten `prefix`, or raise `max_length`."
            )
        sources = self._ids(texts, warn=True)
        rows = [row for row, ids in enumerate(sources) if len(ids)]
        results = self._searches(
            search,
            settings,
            longest,
            [np.append(sources[row], END_ID) for row in rows],
            [prefix_ids[row] for row in rows],
            seed,
            batch_size,
        )
        count = settings["num_return"]
        answers = [[Translation("", 0.0)] * count for _ in sources]
        translated = sentence_texts(self.tokenizer, [ids for each, _ in results for ids in each])
        scores = [float(score) for _, each in results for score in each]
        best = [Translation(*pair) for pair in zip(translated, scores, strict=True)]
        for position, row in enumerate(rows):
            answers[row] = best[count * position : count * (position + 1)]
        return answers if count > 1 else [first for (first,) in answers]

    def _check_size(self, tokenizer: SubwordTokenizer) -> None:
        vocabulary_size = self.network.config.vocabulary_size
        if tokenizer.size > vocabulary_size:
            raise ValueError(
                "The tokenizer must not have more ids than the network embeds. Received: a "
                f"tokenizer of {tokenizer.size} ids, a network of {vocabulary_size}."
            )


def _beam_settings(beam_size: int, n_best: int, length_penalty: float) -> dict[str, Any]:
    """Return the arguments of `beam_search`, checked under the names that users pass."""
    check_positive_integer("beam_size", beam_size)
    check_positive_integer("n_best", n_best)
    if n_best > beam_size:
        raise ValueError(
            f"`n_best` must be at most `beam_size` = {beam_size}. Received: {n_best}. Search with "
            "more beams."
        )
    check_length_penalty(length_penalty)
    return {"num_beams": beam_size, "num_return": n_best, "length_penalty": length_penalty}
