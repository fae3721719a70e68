"""Translation: from strings of one language to strings of another."""

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
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.translation import quality
from keras_attn.tasks.translation._pair_model import PairModel, Texts
from keras_attn.tasks.translation._search import BATCH, Search, Searches, searched
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
    """A network with its subwords: sentences in, sentences out.

    It is a `keras.Model`: `fit` and `evaluate` take two lists, arrays or columns of pandas of
    strings, sources and targets, or a `tf.data.Dataset` of batches of them, or what a network
    reads; `save` writes the subwords along. It comes compiled with Adam; compile it again to
    choose otherwise. Give a new one its subwords by `adapt`, before anything else.

    Args:
        network: A model of ids, such as a `keras_attn.models.TranslationTransformer`.
        tokenizer: The tokenizer that makes ids of strings; of no more ids than the network
            embeds. One without pieces waits for `adapt`.
        max_length: The most subwords of a text that are read, and of a translation that are
            written; what follows is cut off.
        min_count: How often `adapt` must see a pair of subwords to merge it.
        target_language: Code of the language that it translates into, such as `"fr"`, by whose
            rules tokens are counted; None if it is not known.
        **kwargs: See `keras_attn.tasks.Task`.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, ids as of `encode`.

    Returns:
        float32 logits `(B, T, V)` of the token after each of the target's.

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
            label_names: None: a translator has no labels.
            preprocessing: `max_length`, `lowercase` and `min_count`.
            **settings: Settings of the architecture.

        Raises:
            ValueError: Labels are given, or a setting is unknown or impossible.
        """
        if label_names:
            raise ValueError(f"A translator has no labels. Received: label_names={label_names!r}.")
        options = dict(preprocessing or {})
        normalizer = Normalizer(lowercase=options.pop("lowercase", False), html=False)
        network = models.build(architecture, **settings)
        return cls(network, SubwordTokenizer(normalizer=normalizer), **options)

    def use_dataset_info(self, info: DatasetInfo) -> None:
        """Take the language of the targets from a registered data set."""
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
        """Translate one text or several, by beam search.

        A text without words has the empty translation. A translation has at most twice as
        many subwords as its source, and ten.

        Args:
            texts: A string, or a list, array or column of pandas of them.
            beam_size: Beams of the search; 1 is the greedy one.
            n_best: How many translations of each text to return, at most `beam_size`.
            length_penalty: 0 ranks by log-probability alone; more favours longer ones, see
                `keras_attn.decoding.Hypotheses`.
            prefix: What every translation must begin with; or a list, one for each text.
            max_length: The most subwords of a translation; None is the translator's.
            batch_size: Texts at a time; those of like length go together.

        Returns:
            A `Translation` a text, the only one for one text; with `n_best` above 1 a list
            of them a text, best first.

        Raises:
            TypeError: Something in `texts` is not a string.
            ValueError: A number is out of its range, there are not as many prefixes as texts,
                or a prefix has more than `max_length` subwords.

        Warns:
            UserWarning: A text has more than `max_length` subwords, and its end is not read.
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
        """Draw translations at random from the model's distribution.

        Args:
            texts: A string, or a list, array or column of pandas of them.
            n: How many to draw for each text.
            seed: Integer from 0; the same one draws the same, for the same texts.
            temperature: See `keras_attn.decoding.sample`.
            top_k: Likewise.
            top_p: Likewise.
            prefix: See `translate`.
            max_length: See `translate`.
            batch_size: See `translate`.

        Returns:
            As `translate`, with `n` for `n_best`. Scores are at temperature 1.

        Raises:
            TypeError, ValueError: As `translate`.
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
        """Return the log-probabilities of translations in nats, float32 `(N,)`, in their order.

        Args:
            sources: Sources, as `fit` takes them.
            targets: A translation of each.
            batch_size: Pairs at a time; those of like length go together.

        Raises:
            ValueError: There are not as many targets as sources.
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
        """Return the logits of given translations, in their order.

        Args:
            sources: Sources, as `fit` takes them.
            targets: A translation of each.
            batch_size: Pairs at a time; those of like length go together.

        Returns:
            For each pair a float32 array `(T, V)`: the logits of each token of the target and of
            the end behind it, given those before.
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
        """Show which subwords of the source each subword of a translation attended to.

        Args:
            text: The source.
            target: The translation to explain; None is that of `translate`.

        Raises:
            TypeError: `text` is not one string.
            ValueError: It has no words.

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
        """Return the function to export: sentences to translations with scores.

        Subwords, search and joining are inside. Of a text `max_length` subwords are read.

        Args:
            beam_size: Beams of the search; 1 is the greedy one.
            length_penalty: See `translate`.
        """
        settings = _beam_settings(beam_size, 1, length_penalty)
        import tensorflow as tf

        def serve(texts: Any) -> dict[str, Any]:
            source = self.source_ids(texts)
            prefix = tf.zeros([tf.shape(texts)[0], 0], tf.int32)
            result = searched(self.network, beam_search, settings, self.max_length, source, prefix)
            best = result.ids[:, 0]
            has_words = tf.math.count_nonzero(source, axis=1) > 1  # besides the end
            best = tf.where((best < self.tokenizer.size) & has_words[:, None], best, 0)
            score = tf.where(has_words, result.log_probabilities[:, 0], 0.0)
            return {"text": self.tokenizer.detokenize(best), "score": score}

        return serve

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write the subwords, `vocabulary.txt`, one a line."""
        self.tokenizer.write(pathlib.Path(folder, VOCABULARY_FILE))

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read the subwords.

        Raises:
            ValueError: There is no such file, it is damaged, or it holds too many.
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
        """Return `num_return` translations of each text, or of the only one."""
        check_positive_integer("batch_size", batch_size)
        if isinstance(texts, str | bytes):
            arguments = (prefix, max_length, seed, batch_size)
            return self._search(search, settings, [texts], *arguments)[0]
        if hasattr(texts, "to_numpy"):  # a column of pandas
            texts = list(texts.to_numpy())
        prefixes = [prefix] * len(texts) if isinstance(prefix, str | bytes) else prefix
        if len(prefixes) != len(texts):
            raise ValueError(
                "There must be one prefix for all texts, or one for each. Received: "
                f"{len(prefixes)} prefixes, {len(texts)} texts."
            )
        longest = self.max_length if max_length is None else max_length
        check_positive_integer("max_length", longest)
        forced = [np.zeros(0, "int32")] * len(texts)
        if any(text not in ("", b"") for text in prefixes):
            forced = sentence_ids(self.tokenizer, prefixes)
        if (most := max(map(len, forced), default=0)) > longest:
            raise ValueError(
                f"A translation of at most {longest} subwords cannot begin with a prefix of "
                f"{most}. Cut `prefix`, or raise `max_length`."
            )
        sources = self._ids(texts, warn=True)
        rows = [row for row, ids in enumerate(sources) if len(ids)]
        results = self._searches(
            search,
            settings,
            longest,
            [np.append(sources[row], END_ID) for row in rows],
            [forced[row] for row in rows],
            seed,
            batch_size,
        )
        count = settings["num_return"]
        answers = [[Translation("", 0.0)] * count for _ in sources]
        written = sentence_texts(self.tokenizer, [ids for each, _ in results for ids in each])
        scores = [float(score) for _, each in results for score in each]
        best = [Translation(*pair) for pair in zip(written, scores, strict=True)]
        for place, row in enumerate(rows):
            answers[row] = best[count * place : count * (place + 1)]
        return answers if count > 1 else [first for (first,) in answers]

    def _check_size(self, tokenizer: SubwordTokenizer) -> None:
        known = self.network.config.vocabulary_size
        if tokenizer.size > known:
            raise ValueError(
                "The tokenizer must not make ids that the network does not embed. Received: a "
                f"tokenizer of {tokenizer.size} ids, a network of {known}."
            )


def _beam_settings(beam_size: int, n_best: int, length_penalty: float) -> dict[str, Any]:
    """Return the arguments of `beam_search`; report errors by the names that users pass."""
    check_positive_integer("beam_size", beam_size)
    check_positive_integer("n_best", n_best)
    if n_best > beam_size:
        raise ValueError(
            f"`n_best` must be at most `beam_size` = {beam_size}. Received: {n_best}. Search with "
            "more beams."
        )
    check_length_penalty(length_penalty)
    return {"num_beams": beam_size, "num_return": n_best, "length_penalty": length_penalty}
