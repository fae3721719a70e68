"""Searches of a translation model, each compiled once, over batches of sources of like length."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._token_ids import END_ID, START_ID
from keras_attn._types import Tensor
from keras_attn.batching import pad_rows
from keras_attn.decoding import Hypotheses
from keras_attn.models import TranslationModel
from keras_attn.tasks.compilation import compiled

Search = Callable[..., Hypotheses]  # `keras_attn.decoding.beam_search` or `sample`

BATCH = 64  # sources that are searched for at a time
MULTIPLE = 8  # lengths are padded to a multiple, for backends that compile each one
ROOM = 8  # tokens that a translation may have beyond twice those of its source


class Searches:
    """Searches of a network.

    Args:
        network: the model.
    """

    def __init__(self, network: TranslationModel) -> None:
        self.network = network
        self._seeds = keras.random.SeedGenerator(0)
        self._compiled: dict[tuple, Callable[..., Hypotheses]] = {}

    def __call__(
        self,
        search: Search,
        settings: dict[str, Any],
        longest: int,
        sources: Sequence[np.ndarray],
        prefixes: Sequence[np.ndarray],
        seed: int | None = None,
        batch_size: int = BATCH,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the hypotheses for each source: ids `(n, L)` and log-probabilities `(n,)`.

        Args:
            search: a function of `keras_attn.decoding`.
            settings: its arguments, besides those of `searched`.
            longest: the most tokens of a translation.
            sources: ids of each source, the end included.
            prefixes: ids that each translation must begin with.
            seed: Seed of a `search` that draws at random: all batches draw other numbers.
            batch_size: Sources at a time.
        """
        if seed is not None:  # a variable: a graph stands for all seeds
            settings = {**settings, "seed": self._seeds}
        key = (search, longest, *settings.items())
        if key not in self._compiled:
            variables = [*self.network.variables, self._seeds.state]
            run = functools.partial(searched, self.network, search, settings, longest)
            self._compiled[key] = compiled(run, variables, (None, None), (None, None))
        results: list[Any] = [None] * len(sources)
        order = np.argsort([len(ids) for ids in sources], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            source, prefix = (
                pad_rows([ids[row] for row in rows], MULTIPLE) for ids in (sources, prefixes)
            )
            if seed is not None:
                self._seeds.state.assign([seed, start])
            hypotheses = self._compiled[key](source, prefix)
            ids = keras.ops.convert_to_numpy(hypotheses.ids)
            scores = keras.ops.convert_to_numpy(hypotheses.log_probabilities)
            for place, row in enumerate(rows):
                results[row] = (ids[place], scores[place])
        return results


def searched(
    network: TranslationModel,
    search: Search,
    settings: dict[str, Any],
    longest: int,
    source: Tensor,
    prefix: Tensor,
) -> Hypotheses:
    """The hypotheses for ids `(B, S)`, which begin with `(B, P)`; both padded with 0.

    What is found for a row depends on it alone: neither on `S` nor on the other rows.
    """
    prefix = prefix[:, :longest]  # beyond it is padding alone
    lengths = ops.sum(ops.cast(network.padding_mask(source), "int32"), axis=1)
    limits = ops.minimum(2 * lengths + ROOM, longest)
    room = 2 * ops.shape(source)[1] + ROOM + ops.shape(prefix)[1]
    return search(
        network,
        source,
        max_length=min(room, longest) if isinstance(room, int) else ops.minimum(room, longest),
        start_id=START_ID,
        end_id=END_ID,
        prefix=prefix,
        row_max_length=limits,
        **settings,
    )
