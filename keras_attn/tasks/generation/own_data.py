"""User-provided documents: reading them, and adapting a recipe to the size of the data."""

import pathlib
from collections import Counter
from typing import Any

from keras_attn import datasets
from keras_attn._token_ids import FIRST_CHARACTER_ID
from keras_attn._wording import counted
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe

MIN_OCCURRENCES = 2  # of a character, in texts of many different ones
MANY_CHARACTERS = 500
FEW_CHARACTERS = 20_000
TARGET_STEPS = 2_000  # steps that a small model needs at least
MIN_BATCH = 8


class DocumentTableReader:
    """Reader of text files, folders of them, and tables with a document per row.

    See `keras_attn.datasets.read_documents`.
    """

    input_column = ("text_column", "text")
    options = ("text_column", *TABLE_OPTIONS)

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return no options: documents are read alike for every model."""
        return {}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.DocumentTable:
        """Read a text file, a folder of text files, or a table."""
        return datasets.read_documents(path, **options)

    def split(self, table: datasets.DocumentTable, **options: Any) -> datasets.Dataset[Any]:
        """Split documents, see `keras_attn.datasets.split_documents`."""
        return datasets.split_documents(table, **options)

    def examples(self, table: datasets.DocumentTable, model: Any) -> datasets.DocumentSplit:
        """Return all documents."""
        return table.documents


def fit_to_documents(recipe: Recipe, train: datasets.DocumentSplit) -> tuple[Recipe, list[str]]:
    """Adapt vocabulary, epochs and batch size of a recipe to other documents.

    Args:
        recipe: The recipe of an entry for text generation.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    values, notes = recipe.model_dump(), []
    if recipe.preprocessing["tokens"] == "characters":
        counts = Counter("".join(train.documents))
        least = 1 if len(counts) <= MANY_CHARACTERS else MIN_OCCURRENCES
        size = sum(count >= least for count in counts.values()) + FIRST_CHARACTER_ID
        values["tokenizer"]["min_count"] = least
        values["model"]["vocabulary_size"] = max(size, FIRST_CHARACTER_ID + 1)
        rule = "" if least == 1 else f", those that occur {least} times or more"
        notes.append(f"The vocabulary has {counted(size - FIRST_CHARACTER_ID, 'character')}{rule}.")
    characters = sum(map(len, train.documents))
    if characters < FEW_CHARACTERS:
        notes.append(
            f"{counted(characters, 'character')} are few for a language model: expect it to learn "
            "them by heart. A model that writes new texts needs some hundred thousand."
        )
    context = values["model"].get("context_length", 256)
    longest = max(map(len, train.documents), default=1) + 1
    per_window = min(context, longest)
    windows = max(1, sum(-(-(len(text) + 1) // context) for text in train.documents))
    batch_size = max(MIN_BATCH, min(recipe.training.batch_size, windows // 32))
    if batch_size != recipe.training.batch_size:
        values["training"]["batch_size"] = batch_size
        notes.append(
            f"{counted(windows, 'window')} of up to {per_window} characters make few steps: "
            f"batches have {batch_size} of them."
        )
    steps = max(1, windows // batch_size)
    epochs = max(1, min(recipe.training.epochs * 10, -(-TARGET_STEPS // steps)))
    values["training"]["epochs"] = epochs
    values["schedule"]["warmup_epochs"] = min(values["schedule"]["warmup_epochs"], epochs / 10)
    notes.append(f"Trains {counted(epochs, 'epoch')} of {counted(steps, 'step')}.")
    return parse_recipe(values), notes
