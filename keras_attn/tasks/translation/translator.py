"""Translation: from strings of one language to strings of another."""

import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_attn._validation import check_count
from keras_attn.decoding import beam_search, sample
from keras_attn.decoding._rules import check_filters, check_length_penalty
from keras_attn.export import import_tensorflow, write_saved_model
from keras_attn.models import TranslationModel
from keras_attn.tasks.classification import check_export_arguments
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.translation._pair_model import PairModel, Texts
from keras_attn.tasks.translation._search import BATCH, Search, Searches, searched
from keras_attn.tasks.translation._sentences import sentence_ids, sentence_texts
from keras_attn.tasks.translation.answers import END, Alignment, Translation
from keras_attn.tasks.translation.sequence_loss import (
    SequenceCrossentropy,
    TokenAccuracy,
    token_losses,
)
from keras_attn.text import SubwordTokenizer
from keras_attn.text.subwords import END_ID

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_attn")
class Translator(PairModel):
    """A network with its subwords: sentences in, sentences out.

    It is a `keras.Model`: `fit` and `evaluate` take two lists or arrays of strings, sources
    and targets, or a `tf.data.Dataset` of batches of them, or what a network reads; `save`
    writes the subwords along. It comes compiled with Adam; compile it again to choose
    otherwise. A new one is given its subwords by `adapt`, before anything else.

    Args:
        network: a model of ids, such as a `keras_attn.models.TranslationTransformer`.
        tokenizer: what makes ids of strings; of no more ids than the network embeds. One
            without pieces waits for `adapt`.
        max_length: the most subwords of a text that are read, and of a translation that are
            written; what follows is cut off.
        min_count: how often `adapt` must see what becomes a subword.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, ids as of `encode`.

    Returns:
        float32 logits `(B, T, V)` of the token after each of the target's.

    Raises:
        ValueError: the tokenizer has more ids than the network, or a number is below 1.
    """

    _parts = ("network", "tokenizer")

    def __init__(
        self,
        network: TranslationModel,
        tokenizer: SubwordTokenizer,
        max_length: int = 256,
        min_count: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.tokenizer = tokenizer
        check_count("max_length", max_length)
        check_count("min_count", min_count)
        self.max_length = max_length
        self.min_count = min_count
        self._searches = Searches(network)
        self._check_size(tokenizer)
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=SequenceCrossentropy(label_smoothing=0.1),
            metrics=[TokenAccuracy()],
            jit_compile=compile_mode(),
        )

    def translate(
        self,
        texts: str | Texts,
        beam_size: int = 4,
        *,
        n_best: int = 1,
        length_penalty: float = 1.0,
        prefix: str | Texts = "",
        max_length: int | None = None,
    ) -> Any:
        """Translations of one text or several, by beam search.

        A text without words has the empty translation. A translation has at most twice as
        many subwords as its source, and ten.

        Args:
            texts: a string, or a list or array of them.
            beam_size: beams of the search; 1 is the greedy one.
            n_best: how many translations to give of each text, at most `beam_size`.
            length_penalty: 0 ranks by log-probability alone; more favours longer ones, see
                `keras_attn.decoding.Hypotheses`.
            prefix: what every translation must begin with; or a list, one for each text.
            max_length: the most subwords of a translation; None is the translator's.

        Returns:
            A `Translation` a text, the only one for one text; with `n_best` above 1 a list
            of them a text, best first.

        Raises:
            TypeError: something in `texts` is not a string.
            ValueError: a number is out of its range, there are not as many prefixes as texts,
                or a prefix has more than `max_length` subwords.

        Warns:
            UserWarning: a text has more than `max_length` subwords, and its end is not read.
        """
        settings = _beam_settings(beam_size, n_best, length_penalty)
        return self._found(beam_search, settings, texts, prefix, max_length, None)

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
    ) -> Any:
        """Translations drawn at random from the model's distribution.

        Args:
            texts: a string, or a list or array of them.
            n: how many to draw for each text.
            seed: integer from 0; the same one draws the same, for the same texts.
            temperature: see `keras_attn.decoding.sample`.
            top_k: likewise.
            top_p: likewise.
            prefix: see `translate`.
            max_length: see `translate`.

        Returns:
            As `translate`, with `n` for `n_best`. Scores are at temperature 1.

        Raises:
            TypeError, ValueError: as `translate`.
        """
        check_count("n", n)
        check_filters(temperature, top_k, top_p)
        settings = {
            "num_return": n,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
        }
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(f"`seed` must be an integer from 0 to 2**31 - 1. Received: {seed!r}.")
        return self._found(sample, settings, texts, prefix, max_length, seed)

    def score(self, sources: Texts, targets: Texts) -> np.ndarray:
        """Log-probabilities in nats of given translations, float32 `(N,)`.

        Raises:
            ValueError: there are not as many targets as sources.
        """
        pairs = self.encode(sources, targets)
        scores = np.zeros(len(pairs), "float32")
        order = np.argsort(pairs.lengths, kind="stable")
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            inputs, outputs = pairs.batch(rows)
            _, losses = token_losses(outputs, self.predict_on_batch(inputs))
            scores[rows] = -keras.ops.convert_to_numpy(losses).sum(axis=1)
        return scores

    def alignments(self, text: str, target: str | None = None) -> Alignment:
        """All attention of a translation, token by token.

        Args:
            text: the source.
            target: the translation to explain; None is that of `translate`.

        Raises:
            TypeError: `text` is not one string.
            ValueError: it has no words.

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

    def export(
        self,
        filepath: str | os.PathLike[str],
        *,
        beam_size: int = 4,
        length_penalty: float = 1.0,
        **kwargs: Any,
    ) -> pathlib.Path:
        """Write a SavedModel of plain TensorFlow that takes strings and gives strings.

        Its signatures `serving_default` and `serve` take `texts`, string `(B,)`, in UTF-8,
        and give `text` (string `(B,)`) and `score` (float32 `(B,)`), see `Translation`.
        Subwords, search and joining are inside; nothing else is needed to run it. Of a text
        `max_length` subwords are read.

        Args:
            filepath: folder to write, such as `"serving/1"`; it may exist if it is empty.
            beam_size: beams of the search; 1 is the greedy one.
            length_penalty: see `translate`.
            **kwargs: none are taken.

        Returns:
            The folder's path.

        Raises:
            TypeError: other arguments are given, such as Keras's `format`.
            ValueError: a number is out of its range.
            RuntimeError: the Keras backend is not TensorFlow, or there are no subwords.
            FileExistsError: the folder exists and is not empty.
        """
        check_export_arguments("Translator", kwargs)
        settings = _beam_settings(beam_size, 1, length_penalty)
        tf = import_tensorflow()

        def serve(texts: Any) -> dict[str, Any]:
            source = self._source_ids(texts)
            prefix = tf.zeros([tf.shape(texts)[0], 0], tf.int32)
            found = searched(self.network, beam_search, settings, self.max_length, source, prefix)
            best = found.ids[:, 0]
            words = tf.math.count_nonzero(source, axis=1) > 1  # besides the end
            best = tf.where((best < self.tokenizer.size) & words[:, None], best, 0)
            score = tf.where(words, found.log_probabilities[:, 0], 0.0)
            return {"text": self.tokenizer.detokenize(best), "score": score}

        spec = tf.TensorSpec((None,), tf.string)
        return write_saved_model(filepath, serve, self, texts=spec)

    def write_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Write the subwords, one a line."""
        self.tokenizer.write(path)

    def read_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Read the subwords that `write_vocabulary` wrote.

        Raises:
            ValueError: there is no such file, it is damaged, or it holds too many.
        """
        self.tokenizer.read(path)
        self._check_size(self.tokenizer)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "min_count": self.min_count,
        }

    def _found(
        self,
        search: Search,
        settings: dict[str, Any],
        texts: Any,
        prefix: str | Texts,
        max_length: int | None,
        seed: int | None,
    ) -> Any:
        """`num_return` translations of each text, or of the only one."""
        if isinstance(texts, str | bytes):
            return self._found(search, settings, [texts], prefix, max_length, seed)[0]
        prefixes = [prefix] * len(texts) if isinstance(prefix, str | bytes) else prefix
        if len(prefixes) != len(texts):
            raise ValueError(
                "There must be one prefix for all texts, or one for each. Received: "
                f"{len(prefixes)} prefixes, {len(texts)} texts."
            )
        longest = self.max_length if max_length is None else max_length
        check_count("max_length", longest)
        forced = [np.zeros(0, "int32")] * len(texts)
        if any(given not in ("", b"") for given in prefixes):
            forced = sentence_ids(self.tokenizer, prefixes)
        if (most := max(map(len, forced), default=0)) > longest:
            raise ValueError(
                f"A translation of at most {longest} subwords cannot begin with a prefix of "
                f"{most}. Cut `prefix`, or raise `max_length`."
            )
        sources = self._ids(texts, warn=True)
        rows = [row for row, ids in enumerate(sources) if len(ids)]
        found = self._searches(
            search,
            settings,
            longest,
            [np.append(sources[row], END_ID) for row in rows],
            [forced[row] for row in rows],
            seed,
        )
        count = settings["num_return"]
        answers = [[Translation("", 0.0)] * count for _ in sources]
        written = sentence_texts(self.tokenizer, [ids for each, _ in found for ids in each])
        scores = [float(score) for _, each in found for score in each]
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
    """The arguments of `beam_search`; what is wrong is told by the names that a user gave."""
    check_count("beam_size", beam_size)
    check_count("n_best", n_best)
    if n_best > beam_size:
        raise ValueError(
            f"`n_best` must be at most `beam_size` = {beam_size}. Received: {n_best}. Search with "
            "more beams."
        )
    check_length_penalty(length_penalty)
    return {"num_beams": beam_size, "num_return": n_best, "length_penalty": length_penalty}
