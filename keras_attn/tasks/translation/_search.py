"""Compiled decoding of a translation model in batches of sources of similar length."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._token_ids import END_ID, START_ID
from keras_attn._types import Tensor
from keras_attn.batching import pad_rows
from keras_attn.decoding import Automaton, Hypotheses
from keras_attn.models import TranslationModel
from keras_attn.tasks.compilation import compiled, needs_static_shapes
from keras_attn.tasks.translation._banned_words import ban_words
from keras_attn.tasks.translation._limits import EXTRA_TOKENS
from keras_attn.text import Normalizer, SubwordTokenizer

Search = Callable[..., Hypotheses]  # `keras_attn.decoding.beam_search` or `sample`

BATCH = 64  # sources
MULTIPLE = 8  # lengths are padded to multiples of it
STATIC_MULTIPLE = 32  # the same, where functions are compiled for each shape
MAX_COMPILED = 32  # compiled searches that are kept, one for each setting
MAX_AUTOMATA = 4  # automata of banned words that are kept, of up to 256 MB each


class Searches:
    """Runs decoding algorithms on a network, and caches the compiled functions.

    Args:
        network: The translation model.
    """

    def __init__(self, network: TranslationModel) -> None:
        self.network = network
        self._seeds = keras.random.SeedGenerator(0)
        self._compiled: dict[tuple, Callable[..., Hypotheses]] = {}
        self._automata: dict[tuple, Automaton] = {}

    def __call__(
        self,
        search: Search,
        settings: dict[str, Any],
        max_length: int,
        sources: Sequence[np.ndarray],
        prefixes: Sequence[np.ndarray],
        seed: int | None = None,
        batch_size: int = BATCH,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the hypotheses for each source: ids `(n, L)` and log-probabilities `(n,)`.

        Args:
            search: The decoding function of `keras_attn.decoding`.
            settings: Arguments of `search` that `search_batch` does not set.
            max_length: Maximum number of tokens of a translation.
            sources: Ids of each source, including the end.
            prefixes: Ids that each translation must begin with.
            seed: Seed of random sampling. Batches use different random numbers.
            batch_size: Number of sources in a batch.
        """
        if seed is not None:  # the seed is a variable, so that one graph works for all seeds
            settings = {**settings, "seed": self._seeds}
        # A change of the variables, such as by `enable_lora` or `quantize`, needs a new graph.
        variables = [*self.network.variables, self._seeds.state]
        key = (search, max_length, tuple(map(id, variables)), *settings.items())
        if key not in self._compiled:
            while len(self._compiled) >= MAX_COMPILED:
                del self._compiled[next(iter(self._compiled))]
            run = functools.partial(search_batch, self.network, search, settings, max_length)
            self._compiled[key] = compiled(run, variables, (None, None), (None, None))
        results: list[Any] = [None] * len(sources)
        order = np.argsort([len(ids) for ids in sources], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            source = _pad([sources[row] for row in rows], batch_size, STATIC_MULTIPLE)
            prefix = _pad([prefixes[row] for row in rows], batch_size, MULTIPLE)
            if seed is not None:
                self._seeds.state.assign([seed, start])
            hypotheses = self._compiled[key](source, prefix)
            ids = keras.ops.convert_to_numpy(hypotheses.ids)
            scores = keras.ops.convert_to_numpy(hypotheses.log_probabilities)
            for position, row in enumerate(rows):
                results[row] = (ids[position], scores[position])
        return results

    def automaton(
        self, words: tuple[str, ...], tokenizer: SubwordTokenizer, normalizer: Normalizer
    ) -> Automaton:
        """Return the automaton that bans words, the same object for the same words."""
        key = (words, tokenizer.pieces, normalizer)
        if key not in self._automata:
            while len(self._automata) >= MAX_AUTOMATA:
                self._drop(self._automata.pop(next(iter(self._automata))))
            size = self.network.config.vocabulary_size
            self._automata[key] = ban_words(words, tokenizer, size, normalizer)
        return self._automata[key]

    def _drop(self, automaton: Automaton) -> None:
        """Drop the compiled searches that hold an automaton."""
        for key in list(self._compiled):
            if any(value is automaton for _, value in key[3:]):
                del self._compiled[key]


def _pad(rows: list[np.ndarray], batch_size: int, multiple: int) -> np.ndarray:
    """Return ids of a batch as an array, with few shapes where each shape is compiled anew.

    Args:
        rows: The ids of each row.
        batch_size: Number of rows of a full batch.
        multiple: Multiple to which the length is rounded up where shapes are static.
    """
    if not needs_static_shapes():
        return pad_rows(rows, MULTIPLE)
    count = min(1 << (len(rows) - 1).bit_length(), batch_size)  # a power of 2, or a full batch
    return pad_rows([*rows, *[rows[0]] * (count - len(rows))], multiple)


def search_batch(
    network: TranslationModel,
    search: Search,
    settings: dict[str, Any],
    max_length: int,
    source: Tensor,
    prefix: Tensor,
) -> Hypotheses:
    """Return the hypotheses for source ids `(B, S)` and prefix ids `(B, P)`, padded with 0.

    The result for a row depends only on that row, not on `S` or on the other rows.
    """
    prefix = prefix[:, :max_length]  # the rest is padding
    lengths = ops.sum(ops.cast(network.padding_mask(source), "int32"), axis=1)
    min_length = settings.get("min_length", 0)
    limits = ops.minimum(ops.maximum(2 * lengths + EXTRA_TOKENS, min_length), max_length)
    steps = 2 * ops.shape(source)[1] + EXTRA_TOKENS + ops.shape(prefix)[1] + min_length
    return search(
        network,
        source,
        max_length=min(steps, max_length)
        if isinstance(steps, int)
        else ops.minimum(steps, max_length),
        start_id=START_ID,
        end_id=END_ID,
        prefix=prefix,
        row_max_length=limits,
        **settings,
    )
