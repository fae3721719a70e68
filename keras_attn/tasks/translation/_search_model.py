"""Base class of tasks that write the most likely, or a random, target of a source."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from keras_attn._token_ids import END_ID
from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted
from keras_attn.decoding import beam_search, sample
from keras_attn.decoding._rules import check_filters, check_length_penalty
from keras_attn.decoding.restrictions import check_restrictions
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.translation._banned_words import check_banned_words
from keras_attn.tasks.translation._copying import as_text, check_copy, translate_copying
from keras_attn.tasks.translation._pair_model import PairModel, Texts
from keras_attn.tasks.translation._search import BATCH, Search, Searches
from keras_attn.tasks.translation._sentences import sentence_ids, sentence_texts
from keras_attn.tasks.translation.answers import Translation


class SearchModel(PairModel):
    """A network with subwords that translates by beam search or sampling."""

    _searches: Searches

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
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
        copy: bool | Sequence[str] = False,
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
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
        copy: bool | Sequence[str] = False,
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
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
        copy: bool | Sequence[str] = False,
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
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
        copy: bool | Sequence[str] = False,
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
            min_length: Minimum number of subwords of a translation, at most `max_length`.
            no_repeat_ngram_size: No sequence of so many subwords occurs twice in a translation,
                except within the prefix. None allows repetitions.
            banned_words: Words that no translation contains, except within the prefix, in whatever
                subwords they could be written. They are found as whole words ("art" is not banned
                in "party"; characters of Chinese and Japanese are words), in upper and lower case
                as they are given.
            copy: Whether numbers of two and more digits, URLs, e-mail addresses and placeholders
                (`{name}`, `<tag>`, `%s`) stand in the translation as in the text, and as often; or
                a list of further strings to copy, such as names. Texts whose translation lacks
                one are translated again, 12 times and if that fails 12 times more, with names and
                numbers in place of the items that the model may know how to copy. The score is
                that of such a translation.
            batch_size: Number of texts in a batch. Texts of similar length are batched together.

        Returns:
            A `Translation` for a single text, a list of them for several texts. If `n_best` is
            above 1, each `Translation` is replaced by a list of them, best first.

        Raises:
            TypeError: An element of `texts` is not a string, `copy` is not a boolean or a list of
                strings, or `banned_words` is not a list of strings.
            ValueError: A number is out of range, a string to copy or ban is empty, the numbers of
                prefixes and texts differ, or a prefix has more than `max_length` subwords.

        Warns:
            UserWarning: A text has more than `max_length` subwords; the rest is not translated.
                Or `copy` fails for a text, which is then translated without.
        """
        settings = beam_settings(beam_size, n_best, length_penalty)
        settings |= self._restrictions(min_length, no_repeat_ngram_size, banned_words, max_length)
        names = check_copy(copy, n_best)
        return self._search(
            beam_search, settings, texts, prefix, max_length, None, batch_size, names
        )

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
        min_length: int = 0,
        no_repeat_ngram_size: int | None = None,
        banned_words: Sequence[str] = (),
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
            min_length: See `translate`.
            no_repeat_ngram_size: See `translate`.
            banned_words: See `translate`.
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
            **self._restrictions(min_length, no_repeat_ngram_size, banned_words, max_length),
        }
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ValueError(f"`seed` must be an integer from 0 to 2**31 - 1. Received: {seed!r}.")
        return self._search(sample, settings, texts, prefix, max_length, seed, batch_size)

    def answers(
        self,
        inputs: Sequence[Any],
        *,
        beam_size: int = 4,
        n_best: int = 1,
        batch_size: int = BATCH,
    ) -> list[Any]:
        """Return the translation of each text, or `n_best` of them, see `translate`."""
        texts: Any = as_texts(inputs)
        return self.translate(texts, beam_size, n_best=n_best, batch_size=batch_size)

    def _restrictions(
        self,
        min_length: int,
        no_repeat_ngram_size: int | None,
        banned_words: Sequence[str],
        max_length: int | None,
    ) -> dict[str, Any]:
        """Return the arguments of a search that restrict it, without those that do not."""
        longest = self.max_length if max_length is None else max_length
        check_positive_integer("max_length", longest)
        check_restrictions(min_length, no_repeat_ngram_size, longest)
        settings: dict[str, Any] = {}
        if min_length:
            settings["min_length"] = min_length
        if no_repeat_ngram_size is not None:
            settings["no_repeat_ngram_size"] = no_repeat_ngram_size
        if words := check_banned_words(banned_words):
            settings["automaton"] = self._searches.automaton(
                words, self.tokenizer, self.target_normalizer
            )
        return settings

    def _search(
        self,
        search: Search,
        settings: dict[str, Any],
        texts: Any,
        prefix: str | Texts,
        max_length: int | None,
        seed: int | None,
        batch_size: int,
        copied_names: Sequence[str] | None = None,
    ) -> Any:
        """Return `num_return` translations of each text, or of a single text."""
        check_positive_integer("batch_size", batch_size)
        if isinstance(texts, str | bytes):
            arguments = (prefix, max_length, seed, batch_size, copied_names)
            return self._search(search, settings, [texts], *arguments)[0]
        texts = as_texts(texts)
        single_prefix = isinstance(prefix, str | bytes)
        prefixes: list[Any] = [prefix] * len(texts) if single_prefix else as_texts(prefix, "prefix")
        if len(prefixes) != len(texts):
            raise ValueError(
                "There must be one prefix for all texts, or one for each. Received: "
                f"{counted(len(prefixes), 'prefix', 'prefixes')}, {counted(len(texts), 'text')}."
            )
        longest = self.max_length if max_length is None else max_length
        check_positive_integer("max_length", longest)

        def run(texts: Any, prefixes: Any) -> list[Any]:
            return self._search_all(search, settings, texts, prefixes, longest, seed, batch_size)

        if copied_names is None:
            return run(texts, prefixes)
        lowercase = self.tokenizer.normalizer.lowercase
        strings = [as_text(text) for text in texts]
        return translate_copying(run, strings, prefixes, copied_names, lowercase)

    def _search_all(
        self,
        search: Search,
        settings: dict[str, Any],
        texts: Any,
        prefixes: Any,
        longest: int,
        seed: int | None,
        batch_size: int,
    ) -> list[Any]:
        """Return `num_return` translations of each text, see `_search`."""
        prefix_ids = [np.zeros(0, "int32")] * len(texts)
        if any(text not in ("", b"") for text in prefixes):
            prefix_ids = sentence_ids(self.tokenizer, prefixes, normalizer=self.target_normalizer)
        if (longest_prefix := max(map(len, prefix_ids), default=0)) > longest:
            raise ValueError(
                f"A translation of at most {counted(longest, 'subword')} cannot begin with a "
                f"prefix of {longest_prefix}. Shorten `prefix`, or raise `max_length`."
            )
        sources = self._ids(texts, "not translated")
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
        pairs = list(zip(translated, scores, strict=True))
        for position, row in enumerate(rows):
            counts = tuple(map(int, self.tokenizer.count_characters(sources[row])))
            best = pairs[count * position : count * (position + 1)]
            answers[row] = [Translation(*pair, *counts) for pair in best]
        return answers if count > 1 else [first for (first,) in answers]


def beam_settings(beam_size: int, n_best: int, length_penalty: float) -> dict[str, Any]:
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
