"""User-provided texts: reading tables, and adapting a recipe to the size of the data."""

import math
import pathlib
from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn._label_names import MISSING_VALUES
from keras_attn._wording import counted
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe
from keras_attn.tasks._own_labels import label_indices

TEXTS_PER_COUNT = 5_000  # `min_count` is at most the number of training texts divided by this
STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split
MAX_COUNTED_TEXTS = 4_000  # if there are many more, words are counted in about so many texts
# Below this mean number of characters per word, most words are single characters, as in Chinese.
MAX_UNSPACED_WORD_LENGTH = 1.5
TEXTS_FOR_LONGER_NGRAMS = 5_000  # in fewer texts, few of the longer n-grams recur

# For `ngram_attention`. The recipe's rate is for two classes and long texts, with log-count ratios
# of n-grams that occur in many texts. With more classes or fewer texts it fits the training texts
# within an epoch. These values were selected on the validation texts of the sets in
# `benchmarks/own_texts.py`, those of several labels on texts composed of passages of them.
LEARNING_RATE, LEARNING_RATE_OF_MANY_CLASSES, LEARNING_RATE_OF_SEVERAL_LABELS = 3e-4, 1e-3, 3e-3
# Embeddings learn slowly where there are few texts of a class.
EMBEDDING_GAIN_OF_MANY_CLASSES, EMBEDDING_GAIN_OF_SEVERAL_LABELS = 1.0, 10.0
FEW_TEXTS = 2_000  # of two classes; selected on parts of 300 and 1,000 texts of these sets
LEARNING_RATE_OF_FEW_TEXTS, EMBEDDING_GAIN_OF_FEW_TEXTS = 3e-3, 10.0
EPOCHS = 4
MAX_BATCH = 32
MIN_STEPS_PER_EPOCH = 25
MIN_STEPS, MAX_EPOCHS = 300, 30  # a small training split is read more often


class TextTableReader:
    """Reader of tables of texts and labels, see `keras_attn.datasets.read_texts`."""

    options = ("text_column", "label_column", "label_separator", "keep_na_labels", *TABLE_OPTIONS)
    input_column = ("text_column", "text")

    def read_options(self, source: Any) -> dict[str, Any]:
        """Keep labels such as `NA` if a model has them."""
        names = () if isinstance(source, Recipe) else source.label_names
        return {"keep_na_labels": True} if MISSING_VALUES & set(names) else {}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.TextTable:
        """Read a table."""
        return datasets.read_texts(path, **options)

    def split(self, table: datasets.TextTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_table`."""
        return datasets.split_table(table, **options)

    def examples(self, table: datasets.TextTable, model: Any) -> datasets.TextSplit:
        """Return all rows, with labels as indices into the model's label names.

        Raises:
            ValueError: The table has a label that the model does not have, or texts of several
                labels for a model of one label per text, or the reverse.
        """
        if table.multi_label != model.multi_label:
            several, action = "exactly one label", "leave out"
            if model.multi_label:
                several, action = "any number of labels", "pass"
            raise ValueError(
                f"The model gives {several} per text: {action} "
                f"`label_separator`. Received: {table.account.path}, read "
                f"{'with' if table.multi_label else 'without'} it."
            )
        return datasets.TextSplit(
            np.array(table.texts, dtype=object),
            label_indices(
                table, model.label_names, ", or choose another column with `label_column`"
            ),
        )


def fit_to_texts(recipe: Recipe, train: datasets.TextSplit) -> tuple[Recipe, list[str]]:
    """Fit length, rate, batch size, vocabulary and shrinkage of a recipe to a user's texts.

    Args:
        recipe: The recipe of an entry for text classification.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    examples = len(train)
    if recipe.architecture == "ngram_attention":
        rate, gain = LEARNING_RATE, None
        if train.labels.ndim == 2:
            rate, gain = LEARNING_RATE_OF_SEVERAL_LABELS, EMBEDDING_GAIN_OF_SEVERAL_LABELS
        elif len(np.unique(train.labels)) > 2:
            rate, gain = LEARNING_RATE_OF_MANY_CLASSES, EMBEDDING_GAIN_OF_MANY_CLASSES
        elif examples < FEW_TEXTS:
            rate, gain = LEARNING_RATE_OF_FEW_TEXTS, EMBEDDING_GAIN_OF_FEW_TEXTS
        if recipe.initial_entry is not None:  # the backbone has a gain and trained values
            rate, gain = LEARNING_RATE, None
        else:
            values["text"]["initial_ratios"] = "pmi"
            notes.append("N-grams start from their pointwise mutual information with the classes.")
        if gain is not None:
            values["model"]["embedding_gain"] = gain
        values["optimizer"] = {"name": "adamw", "learning_rate": rate}
        values["schedule"] = {"decay": "linear", "final_fraction": 0.02}
        values["training"]["batch_size"] = min(MAX_BATCH, max(1, examples // MIN_STEPS_PER_EPOCH))
        steps = examples // values["training"]["batch_size"]
        epochs = min(MAX_EPOCHS, max(EPOCHS, math.ceil(MIN_STEPS / max(1, steps))))
        values["training"]["epochs"] = epochs
        notes.append(
            f"Trains with AdamW at a learning rate of {rate:g}, in batches of "
            f"{values['training']['batch_size']}: {counted(steps, 'step')} an epoch."
            + (f" Set for it: model.embedding_gain = {gain:g}." if gain is not None else "")
        )
    elif recipe.training.batch_size > examples:
        batch_size = values["training"]["batch_size"] = max(1, examples // STEPS_PER_EPOCH)
        notes.append(
            f"The recipe's batches of {recipe.training.batch_size} are more than the "
            f"{counted(examples, 'training example')}; they are lowered to {batch_size}."
        )
    min_count = values["text"]["min_count"]
    min_texts = max(1, min(min_count, examples // TEXTS_PER_COUNT))
    if min_texts != min_count and recipe.initial_entry is None:
        values["text"]["min_count"] = min_texts
        notes.append(
            f"The vocabulary has n-grams that occur in at least {counted(min_texts, 'text')}."
        )
    words, characters = _count_words(recipe, train)
    sizes = models.configure(recipe.architecture, **recipe.settings()).vocabulary_sizes
    if (
        recipe.architecture == "ngram_attention"
        and recipe.initial_entry is None  # whose vocabularies are not changed
        and characters < MAX_UNSPACED_WORD_LENGTH * words.sum()
        and examples >= TEXTS_FOR_LONGER_NGRAMS
    ):
        sizes = (*sizes, sizes[-1] // 2)
        values["model"]["vocabulary_sizes"] = sizes
        notes.append(
            f"Most words are single characters: n-grams of up to {len(sizes)} of them are read."
        )
    # Do not shrink the average over n-grams of texts with at least half the median length.
    settings = models.configure(recipe.architecture, **recipe.settings())
    ngrams = max(1, int(len(sizes) * np.median(words) / 2))
    if ngrams < settings.shrinkage_ngrams:
        values["model"]["shrinkage_ngrams"] = ngrams
        notes.append(
            f"Texts with fewer than {counted(ngrams, 'n-gram')} get less confident answers, as "
            "they hold little evidence (model.shrinkage_ngrams)."
        )
    max_length = values["text"]["max_length"]
    if truncated := float((words > max_length).mean()):
        notes.append(
            f"{100 * truncated:.1f} % of the texts have more than {counted(max_length, 'word')} "
            f"(up to {words.max():,}); the beginning and the end of these are read."
        )
    return parse_recipe(values), notes


def _count_words(recipe: Recipe, train: datasets.TextSplit) -> tuple[np.ndarray, int]:
    """Return the number of words of each text, and of characters of all of them.

    Words are those that the model reads. They are counted in every n-th text, where n is the
    number of texts divided by `MAX_COUNTED_TEXTS`, rounded down.
    """
    from keras_attn.text import Normalizer, split_words

    step = max(1, len(train) // MAX_COUNTED_TEXTS)
    texts = train.texts[::step].tolist()
    normalizer = Normalizer(lowercase=recipe.preprocessing["lowercase"])
    lengths = [
        split_words(normalizer(texts[start : start + 256])).row_lengths().numpy()
        for start in range(0, len(texts), 256)
    ]
    characters = sum(len(text) - text.count(" ") for text in texts)
    return np.concatenate(lengths), characters
