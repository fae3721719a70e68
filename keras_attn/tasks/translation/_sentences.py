"""Conversion of lists of sentences into ids and back, outside of TensorFlow graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._warnings import warn_user
from keras_attn.batching import pad_rows
from keras_attn.tasks.translation._limits import too_long
from keras_attn.text import Normalizer, SubwordTokenizer

BATCH = 256  # texts that are tokenized in one call


def sentence_ids(
    tokenizer: SubwordTokenizer,
    texts: Sequence[Any] | np.ndarray,
    max_length: int | None = None,
    consequence: str = "",
    normalizer: Normalizer | None = None,
) -> list[np.ndarray]:
    """Return the ids of each text, truncated to `max_length`.

    Args:
        tokenizer: The tokenizer.
        texts: The texts.
        max_length: Maximum number of ids of a text; None is no limit.
        consequence: What becomes of the rest of a text, for a warning; "" does not warn.
        normalizer: Normalization of the texts; None is that of the tokenizer.
    """
    rows: list[np.ndarray] = []
    for start in range(0, len(texts), BATCH):
        ids = tokenizer.tokenize(list(texts[start : start + BATCH]), normalizer)
        rows += np.split(ids.values.numpy(), ids.row_splits.numpy()[1:-1])
    if max_length is None:
        return rows
    message = too_long(list(map(len, rows)), max_length, consequence)
    if consequence and message:
        warn_user(message)
    return [ids[:max_length] for ids in rows]


def sentence_texts(tokenizer: SubwordTokenizer, ids: Sequence[np.ndarray]) -> list[str]:
    """Return the text of each row of ids. Ids beyond the vocabulary are ignored."""
    texts: list[str] = []
    for start in range(0, len(ids), BATCH):
        known = [np.where(row < tokenizer.size, row, 0) for row in ids[start : start + BATCH]]
        joined = tokenizer.detokenize(pad_rows(known)).numpy()
        texts += [text.decode("utf-8") for text in joined]
    return texts
