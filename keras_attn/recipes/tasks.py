"""Descriptions of tasks, and their registry. Describing a task imports no Keras.

A task has two parts. The description, defined here, holds what lists, cards, recipes and the
command line need. The model class, a subclass of `keras_attn.tasks.Task`, does the work, and is
imported when a model is built.
"""

import importlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from keras_attn._names import unknown
from keras_attn.recipes.demonstrations import Demonstration
from keras_attn.recipes.figures import Run, figure, results_table
from keras_attn.recipes.formats import ExportFormat, refusal
from keras_attn.recipes.metrics import Metric
from keras_attn.recipes.recipe import Recipe
from keras_attn.recipes.signature import Signature

if TYPE_CHECKING:
    from keras_attn.datasets import Dataset

# The modules of the tasks that come with the package; importing one registers its task.
BUILT_IN = {
    "forecasting": "keras_attn.tasks.forecasting.description",
    "audio_classification": "keras_attn.tasks.audio.description",
    "image_classification": "keras_attn.tasks.images.description",
    "object_detection": "keras_attn.tasks.detection.description",
    "text_generation": "keras_attn.tasks.generation.description",
    "multi_label_text_classification": "keras_attn.tasks.texts.description",
    "text_classification": "keras_attn.tasks.texts.description",
    "translation": "keras_attn.tasks.translation.description",
}


TABLE_OPTIONS = ("delimiter", "quoting", "header", "encoding")  # of files with a row per example


class TableReader(Protocol):
    """Reads examples of a task from a user's own files.

    Attributes:
        options: Names of the command-line options that apply.
        input_column: For tables: the name of the option that selects the column of inputs, and its
            default, as for `keras-attn predict`. A reader may lack it.
        list_files: For files: a function of a folder that returns the paths of the inputs in it,
            and notes on other files, as for `keras-attn predict`. A reader may lack it.
    """

    @property
    def options(self) -> tuple[str, ...]: ...

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return further options of `read` that a recipe, or a model, determines."""

    def read(self, path: pathlib.Path, **options: Any) -> Any:
        """Return a table with a `name` and an `account`, a printable summary of its rows."""

    def split(self, table: Any, **options: Any) -> "Dataset[Any]":
        """Return the table as a data set of `train`, `validation` and `test`.

        Args:
            table: The table.
            **options: Those of `keras_attn.datasets.split_table`: the fractions `validation` and
                `test`, or the tables `validation_data` and `test_data`.
        """

    def examples(self, table: Any, model: Any) -> Any:
        """Return all rows of the table as one split, to evaluate a model on it."""


class TaskDescription:
    """Description of a task, which imports no Keras.

    Subclass it, set the class attributes, and register an instance with `register_task`. The
    defaults of the methods suit any task.

    Attributes:
        name: Name of the task, such as `"image_classification"`.
        model: The subclass of `keras_attn.tasks.Task`, or `"module:class"` to import later.
        example: Noun for one example, such as `"image"`; `examples` is its plural.
        keywords: Further words by which `keras-attn list --task` finds the task.
        primary_metric: Metric by which runs are compared and weights are selected.
        metrics: All metrics that `keras-attn evaluate` shows, in this order.
        recipe: Class of the task's recipes; a subclass of `Recipe` may add sections.
        signature: Inputs and outputs of the exported SavedModel.
        further_signatures: Those of its other signatures, by name, see
            `Task.further_serving_functions`.
        example_titles: Titles of what the data and the model say about an example, on cards.
        example_rule: Sentence that says which examples a card shows.
        usage: Python code after `model.` that returns an answer, for cards.
        pipeline_tag: Name of the task on the Hugging Face Hub, such as `"image-classification"`,
            for the cards of `Task.save_to_preset`; None if the Hub has no such task.
        prints_texts: Whether `keras-attn predict` prints the attribute `text` of answers as it is,
            rather than a table.
        draws_answers: Whether answers have the method `plot`, for `keras-attn predict --plots`.
        reads: The inputs of `keras-attn predict`: `"texts"` or `"files"`.
        example_input: An input as one writes it on the command line, for messages.
        prediction_options: Names of the arguments of `Task.answers` that are also options of
            commands, such as `"beam_size"`.
        export_options: The same for `Task.export` of a SavedModel.
        further_formats: The formats besides SavedModels that `Task.export` writes, by name, see
            `Task.export_writers`.
        refused_formats: For formats of other tasks the reason why this task has none, and the
            nearest that works, as sentences.
        explanation_options: The same for `Task.explain`.
        table: Reader of a user's own tables, or None.
        fine_tuning: Values of keys of a recipe, see `change_recipe`, for runs on a user's own data
            that start from trained weights with a recipe for training from scratch.
        min_labels: Least number of labels of a model, if its examples have labels.
        multi_label_task: Name of the task of the same architectures in which an example may have
            several labels, or None.
    """

    name: ClassVar[str]
    model: ClassVar[Any]
    example: ClassVar[str] = "example"
    examples: ClassVar[str] = "examples"
    keywords: ClassVar[tuple[str, ...]] = ()
    primary_metric: ClassVar[Metric]
    metrics: ClassVar[tuple[Metric, ...]] = ()
    recipe: ClassVar[type[Recipe]] = Recipe
    signature: ClassVar[Signature]
    further_signatures: ClassVar[Mapping[str, Signature]] = {}
    example_titles: ClassVar[tuple[str, str]] = ("target", "answer")
    example_rule: ClassVar[str] = "The first examples of the validation split."
    usage: ClassVar[str]
    pipeline_tag: ClassVar[str | None] = None
    prints_texts: ClassVar[bool] = False
    draws_answers: ClassVar[bool] = False
    reads: ClassVar[Literal["texts", "files"]] = "texts"
    example_input: ClassVar[str] = '"a text"'
    prediction_options: ClassVar[tuple[str, ...]] = ()
    export_options: ClassVar[tuple[str, ...]] = ()
    further_formats: ClassVar[Mapping[str, ExportFormat]] = {}
    refused_formats: ClassVar[Mapping[str, str]] = {}
    explanation_options: ClassVar[tuple[str, ...]] = ()
    table: ClassVar[TableReader | None] = None
    fine_tuning: ClassVar[Mapping[str, Any]] = {}
    min_labels: ClassVar[int] = 2
    multi_label_task: ClassVar[str | None] = None

    def demonstration(self) -> Demonstration | None:
        """Return what `keras-attn demo` trains for the task, or None."""
        return None

    def model_class(self) -> Any:
        """Import and return the subclass of `keras_attn.tasks.Task`."""
        if not isinstance(self.model, str):
            return self.model
        module, _, name = self.model.partition(":")
        return getattr(importlib.import_module(module), name)

    @property
    def export_formats(self) -> dict[str, ExportFormat]:
        """All formats that `Task.export` writes, by name."""
        reads = ", ".join(map(str, self.signature.inputs))
        saved_model = ExportFormat("SavedModel", reads, self.export_options)
        return {"saved_model": saved_model, **self.further_formats}

    def export_format(self, name: str) -> ExportFormat:
        """Return a format that `Task.export` writes.

        Raises:
            ValueError: The task has no such format; the message says why, and lists those it has.

        Example:

        >>> describe_task("image_classification").export_format("litert").suffix
        '.tflite'
        """
        formats = self.export_formats
        if name not in formats:
            raise ValueError(refusal(self.name, name, formats, self.refused_formats))
        return formats[name]

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError if an option of a command has an impossible value.

        Args:
            options: Options of answers, exports or explanations.
        """

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        """Return the metrics that `evaluate` shows for a split: formatted values by title."""
        shown = self.metrics or (self.primary_metric,)
        return {m.title: m.format(metrics[m.key]) for m in shown if metrics.get(m.key) is not None}

    def metric_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        """Return lines that `evaluate` prints with the metrics, such as how they are defined."""
        return []

    def summary(self, metrics: Mapping[str, Any]) -> str:
        """Return the main figures of a split in a few words, for `keras-attn evaluate`."""
        return self.primary_metric.format(metrics[self.primary_metric.key])

    def test_figure(self, runs: Sequence[Run]) -> str:
        """Return the primary metric of the test split for tables, with standard deviation."""
        return figure(self.primary_metric, runs, "test")

    def run_columns(self, run: Run) -> dict[str, str]:
        """Return the cells of a run in the card's table of runs, by title."""
        metric = self.primary_metric
        return {
            split: metric.format(run["metrics"][split][metric.key])
            for split in ("validation", "test")
        }

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        """Return the paragraphs of the "Results" section of a card.

        Args:
            recipe: The entry's recipe.
            runs: The recorded runs of the entry itself, under `""`, and of each variant.
        """
        return [
            f"Data: {recipe.dataset}, trained on its training split. The test split was read once "
            "a run, at its end.",
            results_table(self.primary_metric, runs),
        ]

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        """Return the recipe adapted to a user's own training split, and notes on the changes.

        Args:
            recipe: The recipe of an entry.
            train: The training split.
        """
        return recipe, []

    def selection_title(self, recipe: Recipe) -> str:
        """Return the name of the metric by which the epochs of a run are compared.

        Args:
            recipe: The recipe of the run.
        """
        return self.primary_metric.title

    def result_notes(
        self, metrics: Mapping[str, Mapping[str, Any]], dataset: "Dataset[Any]"
    ) -> list[str]:
        """Return lines on what a model trained on a user's data has learned.

        Args:
            metrics: The metrics of each split, by the name of the split.
            dataset: The data set.
        """
        return []

    def compare(
        self, model: Any, dataset: "Dataset[Any]", metrics: Mapping[str, Any]
    ) -> str | None:
        """Return a line that compares a model trained on a user's data with a simpler method.

        Args:
            model: The trained model.
            dataset: The data set, with the splits `train`, `validation` and `test`.
            metrics: The metrics of the model on each split.

        Returns:
            The line; None if the task has no simpler method.
        """
        return None


_registered: dict[str, TaskDescription] = {}


def register_task(description: TaskDescription) -> TaskDescription:
    """Register a task with recipes, training, the zoo and the commands.

    Raises:
        ValueError: A description of another class has the same name.
    """
    known = _registered.get(description.name)
    if known is not None and type(known) is not type(description):
        raise ValueError(f"A task is registered as {description.name!r} already.")
    _registered[description.name] = description
    return description


def unregister_task(name: str) -> None:
    """Remove a task from the registry.

    Raises:
        ValueError: No task has that name.
    """
    describe_task(name)
    del _registered[name]


def describe_task(name: str) -> TaskDescription:
    """Return the description of a task.

    Raises:
        ValueError: No task has that name; the message suggests similar names.

    Example:

    >>> describe_task("translation").primary_metric.title
    'BLEU'
    """
    if name in BUILT_IN and name not in _registered:
        importlib.import_module(BUILT_IN[name])
    if name not in _registered:
        raise ValueError(unknown("task", name, list_tasks()))
    return _registered[name]


def list_tasks() -> list[str]:
    """Return the names of all tasks, sorted."""
    return sorted({*BUILT_IN, *_registered})


def find_task(word: str) -> str:
    """Return the name of the task that a word denotes: its name, its examples or a keyword.

    Raises:
        ValueError: No task is known by that word; the message lists all words.

    Example:

    >>> find_task("images"), find_task("sentiment"), find_task("translation")
    ('image_classification', 'text_classification', 'translation')
    """
    words: dict[str, str] = {}
    for name in list_tasks():
        task = describe_task(name)
        words |= dict.fromkeys((task.example, task.examples, *task.keywords), name)
    words |= {name: name for name in list_tasks()}
    if word.lower() not in words:
        raise ValueError(unknown("task", word, sorted(words)))
    return words[word.lower()]
