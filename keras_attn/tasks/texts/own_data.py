"""User-provided texts: reading tables, and adapting a recipe to the size of the data."""

import pathlib
import statistics
from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe
from keras_attn.tasks._own_labels import label_indices

TEXTS_PER_COUNT = 5_000  # `min_count` is at most the number of training texts divided by this
STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split


class TextTableReader:
    """Reader of tables of texts and labels, see `keras_attn.datasets.read_texts`."""

    options = ("text_column", "label_column", *TABLE_OPTIONS)
    hint = "a table of texts and labels"

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return no options: texts are read alike for every model."""
        return {}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.TextTable:
        """Read a table."""
        return datasets.read_texts(path, **options)

    def split(self, table: datasets.TextTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_table`."""
        return datasets.split_table(table, **options)

    def examples(self, table: datasets.TextTable, model: Any) -> datasets.TextSplit:
        """Return all rows, with labels as indices into the model's label names.

        Raises:
            ValueError: The table has a label that the model does not have.
        """
        return datasets.TextSplit(
            np.array(table.texts, dtype=object),
            label_indices(
                table, model.label_names, ", or choose another column with --label-column"
            ),
        )


def fit_to_texts(recipe: Recipe, train: datasets.TextSplit) -> tuple[Recipe, list[str]]:
    """Lower the batch size, `min_count` and shrinkage of a recipe for fewer or shorter texts.

    Args:
        recipe: The recipe of an entry for text classification.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    examples = len(train)
    if recipe.training.batch_size > examples:
        batch_size = values["training"]["batch_size"] = max(1, examples // STEPS_PER_EPOCH)
        notes.append(
            f"The recipe's batches of {recipe.training.batch_size} are more than the "
            f"{examples} training examples; they are lowered to {batch_size}."
        )
    min_count = values["text"]["min_count"]
    min_texts = max(1, min(min_count, examples // TEXTS_PER_COUNT))
    if min_texts != min_count:
        values["text"]["min_count"] = min_texts
        notes.append(f"The vocabulary has n-grams that occur in at least {min_texts} text(s).")
    # Do not shrink the average over n-grams of texts with at least half the median length.
    words = statistics.median(len(text.split()) for text in train.texts)
    settings = models.configure(recipe.architecture, **recipe.settings())
    ngrams = max(1, int(len(settings.vocabulary_sizes) * words / 2))
    if ngrams < settings.shrinkage_ngrams:
        values["model"]["shrinkage_ngrams"] = ngrams
        notes.append(f"The average over n-grams is shrunk for texts of fewer than {ngrams}.")
    return parse_recipe(values), notes
