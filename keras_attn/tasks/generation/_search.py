"""Compiled generation in batches of prompts of similar length."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops

from keras_attn._token_ids import END_ID, PADDING_ID, START_ID
from keras_attn._types import Tensor
from keras_attn.batching import pad_rows
from keras_attn.decoding import Automaton, beam_search, sample
from keras_attn.models import CausalTransformer
from keras_attn.tasks.compilation import compiled, needs_static_shapes
from keras_attn.tasks.generation._random_numbers import RANDOM_BITS, random_numbers
from keras_attn.tasks.sequence_loss import token_losses

if TYPE_CHECKING:
    from keras_attn.text import CharacterTokenizer, SubwordTokenizer

MULTIPLE = 8  # lengths of prompts are padded to multiples of it
STATIC_MULTIPLE = 32  # the same, where functions are compiled for each shape
MAX_COMPILED = 16  # compiled functions that are kept, one for each setting


class Completion(NamedTuple):
    """What a search wrote after a prompt.

    Attributes:
        ids: int32 `(T,)`, without the end token.
        log_probabilities: float32 `(T,)`, or `(T + 1,)` with that of the end token, in nats.
        finished: Whether the completion ended by itself.
    """

    ids: np.ndarray
    log_probabilities: np.ndarray
    finished: bool


class GenerationSearch:
    """Continues prompts by a network, and caches the compiled functions.

    Args:
        network: The language model.
    """

    def __init__(self, network: CausalTransformer) -> None:
        self.network = network
        self._compiled: dict[tuple, Callable[..., Any]] = {}

    def __call__(
        self,
        prompts: Sequence[np.ndarray],
        *,
        n: int,
        max_length: int,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        seed: int,
        no_repeat_ngram_size: int | None,
        beam_size: int | None,
        batch_size: int,
        banned: tuple[int, ...],
    ) -> list[list[Completion]]:
        """Return `n` completions of each prompt.

        The random numbers of a prompt depend on the seed and its position alone.

        Args:
            prompts: Ids of each prompt, without start.
            n: Number of completions.
            max_length: Largest number of tokens of a completion.
            temperature: See `keras_attn.decoding.sample`.
            top_k: See `keras_attn.decoding.sample`.
            top_p: See `keras_attn.decoding.sample`.
            seed: Seed of random sampling.
            no_repeat_ngram_size: See `keras_attn.decoding.beam_search`.
            beam_size: Number of beams of a beam search; None samples.
            batch_size: Number of prompts in a batch.
            banned: Ids that are never chosen.
        """
        settings: dict[str, Any] = {"no_repeat_ngram_size": no_repeat_ngram_size}
        if beam_size is None:
            settings |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        relevant = _receptive_slice(self.network, settings)
        prompts = [ids[relevant] for ids in prompts]
        run = self._function(n, max_length, beam_size, banned, settings)
        results: list[Any] = [None] * len(prompts)
        order = np.argsort([len(ids) for ids in prompts], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            prefix = _pad([prompts[row] for row in rows], batch_size)
            numbers = np.zeros((len(prefix), n, prefix.shape[1] + max_length + 1), "int32")
            for place, row in enumerate(rows):
                length = len(prompts[row])
                numbers[place, :, length : length + max_length + 1] = random_numbers(
                    np.int64(seed), row, np.arange(n)[:, None], np.arange(max_length + 1)[None]
                )
            ids, log_probabilities, finished = map(ops.convert_to_numpy, run(prefix, numbers))
            for place, row in enumerate(rows):
                length = len(prompts[row])
                written = slice(length, length + max_length)
                found = zip(ids[place], log_probabilities[place], finished[place], strict=True)
                results[row] = [
                    _completion(row_ids[written], values[written], bool(end))
                    for row_ids, values, end in found
                ]
        return results

    def _function(
        self,
        n: int,
        max_length: int,
        beam_size: int | None,
        banned: tuple[int, ...],
        settings: dict[str, Any],
    ) -> Callable[..., Any]:
        """Return the compiled function of a setting."""
        # A change of the variables, such as by `quantize`, needs a new graph.
        variables = list(self.network.variables)
        key = (n, max_length, beam_size, banned, *settings.values(), *map(id, variables))
        if key not in self._compiled:
            while len(self._compiled) >= MAX_COMPILED:
                del self._compiled[next(iter(self._compiled))]
            run = functools.partial(
                continue_batch,
                self.network,
                n=n,
                max_length=max_length,
                beam_size=beam_size,
                automaton=ban(banned, self.network.config.vocabulary_size),
                settings=settings,
            )
            self._compiled[key] = compiled(run, variables, (None, None), (None, n, None))
        return self._compiled[key]


def ban(ids: Sequence[int], vocabulary_size: int) -> Automaton | None:
    """Return the automaton that never chooses some ids; None if there are none."""
    if not ids:
        return None
    banned = np.zeros((1, vocabulary_size), bool)
    banned[0, list(ids)] = True
    return Automaton(np.zeros((1, vocabulary_size), "int32"), banned)


def _receptive_slice(network: CausalTransformer, settings: dict[str, Any]) -> slice:
    """Return the tokens of a prompt that its completions depend on."""
    field = getattr(network, "receptive_field", None)
    if field is None or settings.get("no_repeat_ngram_size") is not None:
        return slice(None)
    return slice(-field, None)


def continue_batch(
    network: CausalTransformer,
    prefix: Tensor,
    numbers: Tensor,
    *,
    n: int,
    max_length: int,
    beam_size: int | None,
    automaton: Automaton | None,
    settings: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor]:
    """Continue a batch of prompts.

    Args:
        network: The language model.
        prefix: int32 `(B, P)`, the ids of prompts, padded with 0 at the end.
        numbers: int32 `(B, n, P + max_length + 1)`, random numbers of `RANDOM_BITS` bits.
        n: Number of completions of each prompt.
        max_length: Largest number of tokens of a completion.
        beam_size: Number of beams, or None for sampling.
        automaton: Bans ids, or None.
        settings: Further arguments of the search.

    Returns:
        A triple: ids of prompts and completions, int32 `(B, n, T)`; the log-probabilities of the
        tokens of completions, 0 for others, float32 `(B, n, T)`; and whether completions ended by
        themselves, bool `(B, n)`.
    """
    lengths = ops.sum(ops.cast(prefix != PADDING_ID, "int32"), axis=1)
    arguments: dict[str, Any] = {
        "max_length": ops.shape(prefix)[1] + max_length,
        "start_id": START_ID,
        "end_id": END_ID,
        "prefix": prefix,
        "row_max_length": lengths + max_length,
        "automaton": automaton,
        **settings,
    }
    if beam_size is None:
        uniform = ops.cast(numbers, "float32") / float(1 << RANDOM_BITS)
        ids = sample(network, prefix, num_return=n, uniform=uniform, **arguments).ids
    else:
        # The score of a completion is its log-probability, and a text that is cut has no end.
        arguments |= {"length_penalty": 0.0, "score_last_end": False}
        ids = beam_search(network, prefix, num_beams=beam_size, num_return=n, **arguments).ids
    batch, _, length = ops.shape(ids)
    rows = ops.reshape(ids, (-1, length))
    values, finished = _log_probabilities(network, rows, ops.repeat(lengths, n), max_length)
    return ids, ops.reshape(values, (batch, n, length)), ops.reshape(finished, (batch, n))


def _log_probabilities(
    network: CausalTransformer, ids: Tensor, prompt_lengths: Tensor, max_length: int
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each token of completions, and whether they ended themselves.

    Those of the prompt, and of the end token that a search appends at the largest length, are 0.

    Args:
        network: The language model.
        ids: int32 `(R, T)`, prompts and completions with the end token.
        prompt_lengths: int32 `(R,)`.
        max_length: Largest number of tokens of a completion.
    """
    start = ops.full((ops.shape(ids)[0], 1), START_ID, dtype="int32")
    logits = network(ops.concatenate([start, ids[:, :-1]], axis=1), training=False)
    _, losses = token_losses(ids, logits)
    place = ops.arange(ops.shape(ids)[1], dtype="int32")[None] - prompt_lengths[:, None]
    counts = ops.logical_and(place >= 0, place < max_length)
    ends = ops.logical_and(counts, ids == END_ID)
    return ops.where(counts, -losses, 0.0), ops.any(ends, axis=1)


def generate_in_graph(
    network: CausalTransformer,
    tokenizer: "CharacterTokenizer | SubwordTokenizer",
    texts: Any,
    seed: Any,
    *,
    max_length: int,
    settings: dict[str, Any],
    banned: Sequence[int],
    stops: Sequence[str],
) -> dict[str, Any]:
    """Continue prompts in a graph of TensorFlow, for a SavedModel.

    Args:
        network: The language model.
        tokenizer: Its tokenizer.
        texts: String tensor `(B,)`.
        seed: int64 scalar.
        max_length: Largest number of tokens of a completion.
        settings: Arguments of `keras_attn.decoding.sample`.
        banned: Ids that are never chosen.
        stops: Strings that end a completion.

    Returns:
        `text`, `completion` and `score`, each `(B,)`.
    """
    import tensorflow as tf

    texts = tf.ensure_shape(texts, (None,))  # a signature does not check it
    ragged = tokenizer.tokenize(texts)[:, _receptive_slice(network, settings)]
    prefix = ragged.to_tensor()
    prefix = tf.pad(prefix, [[0, 0], [0, tf.cast(tf.shape(prefix)[1] == 0, tf.int32)]])
    lengths = tf.cast(ragged.row_lengths(), tf.int32)
    batch, length = tf.unstack(tf.shape(prefix))
    rows = tf.range(batch, dtype=tf.int64)[:, None]
    place = tf.range(length + max_length + 1)[None] - lengths[:, None]
    numbers = random_numbers(
        tf.cast(seed, tf.int64), rows, tf.zeros((), tf.int64), tf.cast(tf.nn.relu(place), tf.int64)
    )
    ids, log_probabilities, _ = continue_batch(
        network,
        prefix,
        tf.cast(numbers, tf.int32)[:, None],
        n=1,
        max_length=max_length,
        beam_size=None,
        automaton=ban(banned, network.config.vocabulary_size),
        settings=settings,
    )
    ids = ids[:, 0]
    column = tf.range(tf.shape(ids)[1])[None] - lengths[:, None]
    is_completion = (column >= 0) & (column < max_length)
    ids = tf.where(is_completion, ids, PADDING_ID)
    order = tf.argsort(tf.cast(~is_completion, tf.int32), axis=1, stable=True)
    ids = tf.gather(ids, order, batch_dims=1)  # completions begin in the first column
    log_probabilities = tf.gather(log_probabilities[:, 0], order, batch_dims=1)
    completion = tokenizer.continue_texts(texts, ids)
    pieces = tokenizer.token_bytes(ids)
    raw = tf.strings.reduce_join(pieces, axis=1)
    # The space before a first word is part of its token, but not of every completion.
    has_space = tf.strings.regex_full_match(raw, r"(?s) .*")
    lacks_space = has_space & ~tf.strings.regex_full_match(completion, r"(?s) .*")
    skipped = tf.cast(lacks_space, tf.int32)
    _, end = first_stop(tf.strings.substr(raw, skipped, tf.strings.length(raw)), stops)
    before = tf.cumsum(tf.strings.length(pieces), axis=1, exclusive=True)
    is_kept = before < (skipped + end)[:, None]
    begin, _ = first_stop(completion, stops)
    completion = tf.strings.substr(completion, tf.zeros_like(begin), begin)
    return {
        "text": tf.strings.join([texts, completion]),
        "completion": completion,
        "score": tf.reduce_sum(tf.where(is_kept, log_probabilities, 0.0), axis=1),
    }


def cut_at_stop(
    completion: str, pieces: Sequence[bytes], stops: Sequence[str]
) -> tuple[str, int] | None:
    """Return a completion up to its first stop string, and the number of tokens through that.

    Args:
        completion: The whole completion.
        pieces: The bytes of its tokens.
        stops: Stop strings.

    Returns:
        None if there is no stop string.
    """
    raw = b"".join(pieces)
    skipped = int(raw.startswith(b" ") and not completion.startswith(" "))
    found = _find_first(raw[skipped:], [stop.encode() for stop in stops])
    in_text = _find_first(completion, stops)
    if found is None or in_text is None:
        return None
    ends = np.cumsum([len(piece) for piece in pieces])
    count = int(np.searchsorted(ends, skipped + found[0])) + 1
    return completion[: in_text[1]], count


def _find_first(text: Any, stops: Sequence[Any]) -> tuple[int, int] | None:
    """Return end and beginning of the stop string that is complete first, or None."""
    places = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return min(places, default=None)


def first_stop(texts: Any, stops: Sequence[str]) -> tuple[Any, Any]:
    """Return where the stop string that is complete first begins and ends in texts, in a graph.

    Args:
        texts: String tensor `(B,)`.
        stops: Stop strings.

    Returns:
        Two int32 tensors `(B,)` in bytes; the length of the text, and a byte more, where no string
        stops it.
    """
    import tensorflow as tf

    length = tf.strings.length(texts)
    begin, end = length, length + 1
    for stop in sorted(stops, key=len, reverse=True):  # of two that end together, the longer
        head = tf.strings.reduce_join(tf.strings.split(texts, stop)[:, :1], axis=1)
        place = tf.strings.length(head)
        is_first = (place < length) & (place + len(stop.encode()) < end)
        begin = tf.where(is_first, place, begin)
        end = tf.where(is_first, place + len(stop.encode()), end)
    return begin, end


def _completion(ids: np.ndarray, log_probabilities: np.ndarray, finished: bool) -> Completion:
    """Return a completion from the ids of a search, which may end with end tokens and padding."""
    ends = np.flatnonzero((ids == END_ID) | (ids == PADDING_ID))
    count = int(ends[0]) if len(ends) else len(ids)
    return Completion(ids[:count], log_probabilities[: count + finished], finished)


def _pad(prompts: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
    """Return prompts as an array, with few shapes where each shape is compiled anew."""
    if not needs_static_shapes():
        return pad_rows(prompts, MULTIPLE)
    count = min(1 << (len(prompts) - 1).bit_length(), batch_size)
    return pad_rows([*prompts, *[prompts[0]] * (count - len(prompts))], STATIC_MULTIPLE)
