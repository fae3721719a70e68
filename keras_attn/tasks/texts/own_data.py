"""A user's own texts: reading a table of them, and fitting a recipe to their size."""

import pathlib
import statistics
from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn._names import unknown
from keras_attn.recipes import Recipe, parse_recipe

# An n-gram joins the vocabulary if it occurs in one text more for each so many training texts.
TEXTS_PER_COUNT = 5_000
STEPS_PER_EPOCH = 4  # where the recipe's batches are larger than the training split


class TextTableReader:
    """Reads a table of texts and labels, see `keras_attn.datasets.read_texts`."""

    options = ("text_column", "label_column")
    hint = "a table of texts and labels"

    def read(self, path: pathlib.Path, **options: Any) -> datasets.TextTable:
        """Read a table."""
        return datasets.read_texts(path, **options)

    def split(self, table: datasets.TextTable, **fractions: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_table`."""
        return datasets.split_table(table, **fractions)

    def examples(self, table: datasets.TextTable, model: Any) -> datasets.TextSplit:
        """Return all rows, with labels as indices into the model's label names.

        Raises:
            ValueError: The table has a label that the model does not.
        """
        names = model.label_names
        if others := [label for label in table.label_names if label not in names]:
            first, *further = others
            more = f" Also unknown: {', '.join(map(repr, further))}." if further else ""
            raise ValueError(
                f"{unknown(f'label in {table.account.path}', first, names)}{more} Give the rows "
                "the model's labels, or choose another column by --label-column."
            )
        labels = np.array([names.index(label) for label in table.labels], "int32")
        return datasets.TextSplit(np.array(table.texts, dtype=object), labels)


def fit_to_texts(recipe: Recipe, train: datasets.TextSplit) -> tuple[Recipe, list[str]]:
    """Lower batch size, minimal count and shrinkage of a recipe for fewer or shorter texts.

    Args:
        recipe: The recipe of an entry for text classification.
        train: The training split.

    Returns:
        The recipe to train by, and a note on each change.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    examples = len(train)
    if recipe.training.batch_size > examples:
        fewer = values["training"]["batch_size"] = max(1, examples // STEPS_PER_EPOCH)
        notes.append(
            f"The recipe's batches of {recipe.training.batch_size} are more than the "
            f"{examples} training examples; they are lowered to {fewer}."
        )
    min_count = values["text"]["min_count"]
    least = max(1, min(min_count, examples // TEXTS_PER_COUNT))
    if least != min_count:
        values["text"]["min_count"] = least
        notes.append(f"An n-gram joins the vocabulary if {least} text(s) hold it.")
    # The average over n-grams is not shrunk for a text of half the median length or more.
    words = statistics.median(len(text.split()) for text in train.texts)
    settings = models.configure(recipe.architecture, **recipe.settings())
    ngrams = max(1, int(len(settings.vocabulary_sizes) * words / 2))
    if ngrams < settings.shrinkage_ngrams:
        values["model"]["shrinkage_ngrams"] = ngrams
        notes.append(f"The average over n-grams is shrunk for texts of fewer than {ngrams}.")
    return parse_recipe(values), notes
