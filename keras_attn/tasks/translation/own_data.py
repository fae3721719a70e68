"""User-provided sentence pairs: reading them, and adapting a recipe to the size of the data."""

import math
import pathlib
from typing import Any

from keras_attn import datasets
from keras_attn._token_ids import FIRST_PIECE_ID
from keras_attn._wording import counted
from keras_attn.datasets.pairs import make_reference_split
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe

# Less text supports fewer subwords (Sennrich and Zhang, arXiv:1905.11901). Their number is set
# proportional to the square root of the text's length, like that of distinct words. For Multi30k
# this gives 5,000.
SUBWORDS_PER_ROOT = 2.5  # subwords per square root of the number of characters
CHARACTERS_PER_TOKEN = 6
STEPS_PER_EPOCH = 32  # if batches of at least `MIN_BATCH_TOKENS` allow it
MIN_BATCH_TOKENS = 256
MIN_STEPS_PER_EPOCH = 4


class PairTableReader:
    """Reader of tables of sentences and translations, or of two parallel files.

    See `keras_attn.datasets.read_pairs`.
    """

    input_column = ("source_column", "source")
    options = ("data_target", "source_column", "target_column", "target_language", *TABLE_OPTIONS)

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return no options: sentences are read alike for every model."""
        return {}

    def read(
        self, path: pathlib.Path, data_target: pathlib.Path | None = None, **options: Any
    ) -> datasets.PairTable:
        """Read a table, or a file of sources and a file of targets."""
        return datasets.read_pairs(path, data_target, **options)

    def split(self, table: datasets.PairTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_pairs`."""
        return datasets.split_pairs(table, **options)

    def examples(self, table: datasets.PairTable, model: Any) -> datasets.PairSplit:
        """Return all rows. Rows with the same source are merged, with several references."""
        language = table.target_language or getattr(model, "target_language", None)
        return make_reference_split(table.pairs, language)


def fit_to_pairs(recipe: Recipe, train: datasets.PairSplit) -> tuple[Recipe, list[str]]:
    """Lower the vocabulary size and batch size of a recipe for less text; keep targets as written.

    Args:
        recipe: The recipe of an entry for translation.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    lengths = [tuple(map(len, pair)) for pair in zip(train.sources, train.targets, strict=True)]
    num_subwords = max(1, round(SUBWORDS_PER_ROOT * math.sqrt(sum(map(sum, lengths)))))
    size = models.configure(recipe.architecture, **recipe.settings()).vocabulary_size
    if FIRST_PIECE_ID + num_subwords < size:
        new_size = values["model"]["vocabulary_size"] = FIRST_PIECE_ID + num_subwords
        notes.append(
            f"The text supports about {counted(num_subwords, 'subword')}, besides {FIRST_PIECE_ID} "
            f"bytes and special tokens; the recipe's vocabulary of {size:,} is lowered to "
            f"{new_size:,}."
        )
    max_length = values["subwords"]["max_length"]
    tokens = sum(1 + min(max(pair) // CHARACTERS_PER_TOKEN, max_length) for pair in lengths)
    before = recipe.training.batch_size
    batch_size = min(before, max(MIN_BATCH_TOKENS, tokens // STEPS_PER_EPOCH))
    batch_size = min(batch_size, max(1, tokens // MIN_STEPS_PER_EPOCH))
    if batch_size < before:
        values["training"]["batch_size"] = batch_size
        notes.append(
            f"For about {counted(tokens, 'training token')}, batches of {before} make few steps; "
            f"they are lowered to {batch_size}."
        )
    if values["subwords"]["fold_targets"]:
        values["subwords"]["fold_targets"] = False
        notes.append("Targets keep their quotes, dashes and full-width forms.")
    return parse_recipe(values), notes
