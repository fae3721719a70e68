"""The tabs of the page: what each task asks for, and how its answers are shown.

Answers and explanations are those of `Task.answers` and `Task.explain`, with the options that the
description of the task names. A task without a tab of its own gets `Tab`, which reads texts or
files and shows what `keras-attn predict` and `explain` print.
"""

import csv
import dataclasses
import html as markup
import os
import pathlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_attn import zoo
from keras_attn._wording import counted
from keras_attn.app import results
from keras_attn.app.models import LOCK, PageModel
from keras_attn.recipes import TaskDescription

if TYPE_CHECKING:
    from keras_attn.tasks import Task

DAY = 86_400  # seconds
PICTURES = 4  # drawn as examples


@dataclasses.dataclass(frozen=True)
class Field:
    """The field of an option of `Task.answers` or `Task.explain`.

    Attributes:
        label: Its title.
        info: What it does; an empty field stands for the default of the model.
        kind: `"text"`, `"integer"` or `"number"`.
        maximum: The largest number that the page accepts, so that no request takes hours.
    """

    label: str
    info: str = ""
    kind: str = "text"
    maximum: float | None = None

    def component(self, gr: Any) -> Any:
        """Return the empty field."""
        if self.kind == "text":
            return gr.Textbox(label=self.label, info=self.info, max_lines=1, max_length=1_000)
        precision = 0 if self.kind == "integer" else None
        return gr.Number(
            value=None,
            label=self.label,
            info=self.info,
            precision=precision,
            maximum=self.maximum,
        )


# By the name of the option. Options of a task that are not here have no field.
FIELDS = {
    "beam_size": Field("Beam size", "Text generation samples if it is empty", "integer", 16),
    "horizon": Field("Horizon", "Number of steps", "integer"),
    "label": Field("Label to explain", "The label of the answer if it is empty"),
    "max_boxes": Field("Maximum number of boxes", "", "integer", 1_000),
    "max_length": Field("Maximum length", "Number of tokens", "integer", 500),
    "no_repeat_ngram_size": Field("No-repeat n-gram size", "Number of tokens", "integer", 20),
    "seed": Field("Seed", "Another one every time if it is empty", "integer"),
    "temperature": Field("Temperature", "Lower values give more likely text", "number", 100),
    "threshold": Field("Score threshold", "Boxes with a lower score are left out", "number"),
    "top_k": Field("Top k", "Sample from the k most likely tokens", "integer"),
    "top_p": Field(
        "Top p", "Sample from the most likely tokens of this total probability", "number"
    ),
    "variable": Field("Variable to explain", "The first one that is forecast if it is empty"),
    "views": Field("Test-time augmentation", "1, 2 or 6 views of the image", "integer", 6),
}
MAX_CHARACTERS = 20_000  # of a text


@dataclasses.dataclass(frozen=True)
class Answered:
    """The answer for an input, and what is to be noted about it.

    Attributes:
        example: The input, as the model reads it.
        answer: The answer of `Task.answers`.
        account: How the input was read; empty for texts and files that are read as they are.
        warnings: The warnings of the model, and how little it knows of the input.
    """

    example: Any
    answer: Any
    account: str
    warnings: list[str]


class Tab:
    """A tab of the page, for any task.

    Args:
        task: The task.

    Attributes:
        title: Its title; empty for the name of the task.
        button: The text of the button.
        entries: Entries of the zoo that are shown if no model is named.
        example_texts: Texts to try, by entry.
        accepts_empty: Whether a text may be empty.
        lines: Number of lines of the field of texts.
        drawn_button: The text of a button that draws an input, see `draw`; empty without one.
    """

    title: ClassVar[str] = ""
    button: ClassVar[str] = "Answer"
    entries: ClassVar[tuple[str, ...]] = ()
    example_texts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    accepts_empty: ClassVar[bool] = False
    lines: ClassVar[int] = 4
    drawn_button: ClassVar[str] = ""

    def __init__(self, task: TaskDescription) -> None:
        self.task = task

    @property
    def heading(self) -> str:
        """The title of the tab."""
        return self.title or self.task.name.replace("_", " ").capitalize()

    @property
    def has_probabilities(self) -> bool:
        """Whether answers have the probability of each label."""
        return any(info.name == "probabilities" for info in self.task.signature.outputs)

    @property
    def fields(self) -> dict[str, Field]:
        """The fields of options, by the name of the option."""
        names = (*self.task.prediction_options, *self.task.explanation_options)
        return {name: FIELDS[name] for name in names if name in FIELDS}

    def input(self, gr: Any) -> Any:
        """Return the component of the input, whose value is a text, or the path of a file."""
        if self.task.reads == "files":
            return _uploads_alone(gr.File(label=self.task.example.capitalize()))
        return gr.Textbox(
            label=self.task.example.capitalize(),
            lines=self.lines,
            max_lines=12,
            max_length=MAX_CHARACTERS,
        )

    def examples(self, models: Sequence[PageModel], folder: pathlib.Path) -> list[tuple[str, Any]]:
        """Return examples: the title of a model with an input that it knows.

        Args:
            models: The models of the tab.
            folder: Folder for files of examples.
        """
        return [
            (model.title, text)
            for model in models
            for text in self.example_texts.get(model.name, ())
        ]

    def draw(self, model: "Task", folder: pathlib.Path) -> pathlib.Path:
        """Draw an input for a model, and write it into a folder.

        Args:
            model: The model.
            folder: The folder.
        """
        raise NotImplementedError

    def read(self, model: "Task", value: Any) -> tuple[Any, str]:
        """Return the input as the model reads it, and how a table was read.

        Raises:
            ValueError: There is no input, or it cannot be read.
        """
        if self.task.reads == "texts":
            if not self.accepts_empty and not (value or "").strip():
                raise ValueError(f"The {self.task.example} is empty. Type one.")
            if len(value or "") > MAX_CHARACTERS:
                raise ValueError(
                    f"A {self.task.example} may have {MAX_CHARACTERS:,} characters on this page. "
                    f"Received: {len(value):,}. Split it, or call `keras-attn predict`."
                )
            return value or "", ""
        if value is None:
            raise ValueError(f"There is no {self.task.example}. Drop a file, or choose one.")
        read_input = getattr(self.task.table, "read_input", None)
        if read_input is None:
            return str(value), ""
        table = read_input(pathlib.Path(value), model)
        return table, str(table.account)

    def answer(self, model: PageModel, value: Any, options: Mapping[str, Any]) -> Answered:
        """Return the answer for an input.

        Args:
            model: The model, which is loaded if it is not yet.
            value: The value of the component of the input.
            options: The options that have a value.

        Raises:
            ValueError, TypeError, OSError: The input or an option cannot be used.
        """
        self.task.check_options(options)
        passed = {key: options[key] for key in options if key in self.task.prediction_options}
        with LOCK, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            example, account = self.read(model.model, value)
            (answer,) = model.model.answers([example], **passed)
        from keras_attn.tasks.coverage import coverage_warnings

        known = [f"{each[0].upper()}{each[1:]}" for each in coverage_warnings([answer])]
        return Answered(example, answer, account, [*_messages(caught), *known])

    def explain(self, model: PageModel, answered: Answered, options: Mapping[str, Any]) -> str:
        """Return the explanation of an answer, with the agreement in words, as HTML.

        Raises:
            NotImplementedError: The task has no explanations.
            ValueError: An option cannot be used, or there is nothing to explain.
        """
        passed = {key: options[key] for key in options if key in self.task.explanation_options}
        with LOCK, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            explanation = self.explanation(model.model, answered, passed)
            html = explanation.to_html()
        notes = [note for note in _messages(caught) if note not in answered.warnings]
        agreement = results.agreement_html(getattr(explanation, "agreement", None) or {})
        return agreement + results.notes_html(notes) + results.wide(html)

    def explanation(self, model: "Task", answered: Answered, options: dict[str, Any]) -> Any:
        """Return the explanation of the model."""
        return model.explain(answered.example, **options)

    def show(self, answer: Any) -> str:
        """Return an answer as HTML."""
        if self.has_probabilities:
            summary = getattr(answer, "summary", None)
            if summary is None:
                return results.heading_html(f"{answer.label} ({answer.score:.3f})")
            return results.heading_html(summary)
        if self.task.prints_texts:
            return f'<div class="ka-text">{markup.escape(answer.text)}</div>'
        table = results.table_html(answer.to_columns(3))
        if not self.task.draws_answers:
            return table
        return table + results.wide(results.figure_html(answer.plot(), "The answer as an image"))


class ImageTab(Tab):
    """A tab for images, with examples that the library draws."""

    title = "Images"
    button = "Classify"
    entries: ClassVar[tuple[str, ...]] = ("cifar10_attention_net", "shapes_small_attention_cnn")

    def input(self, gr: Any) -> Any:
        image = gr.Image(
            label=self.task.example.capitalize(),
            sources=["upload", "clipboard"],
            type="filepath",
            height=300,
            buttons=[],
            elem_classes="ka-picture",
        )
        # The library decodes the file, or says why it cannot. A subclass would write a stub file.
        image.preprocess = lambda payload: None if payload is None else payload.path
        return _uploads_alone(image)

    def examples(self, models: Sequence[PageModel], folder: pathlib.Path) -> list[tuple[str, Any]]:
        return [
            (model.title, str(path))
            for model in models
            if not zoo.is_saved(model.name)
            for path in self.images(zoo.describe(model.name).recipe.dataset, folder)
        ]

    def images(self, dataset: str, folder: pathlib.Path) -> list[pathlib.Path]:
        """Draw images that a model of a data set knows, and write them into a folder.

        Args:
            dataset: Name of the data set.
            folder: The folder.

        Returns:
            The paths; none if the library draws no such images.
        """
        if dataset != "shapes":
            return []
        from keras_attn.datasets.shapes import draw_shapes

        return _write_images(draw_shapes(sizes={"test": PICTURES})["test"].images, folder)


class DetectionTab(ImageTab):
    """A tab for images with objects."""

    title = "Object detection"
    button = "Detect"
    entries: ClassVar[tuple[str, ...]] = ("bccd_attention_detector",)

    def images(self, dataset: str, folder: pathlib.Path) -> list[pathlib.Path]:
        if dataset not in ("bccd", "discs"):  # red discs look to its model like blood cells
            return []
        from keras_attn import datasets

        return _write_images(datasets.load("discs")["test"].images[:PICTURES], folder)


class TextTab(Tab):
    """A tab for texts with labels."""

    title = "Texts"
    button = "Classify"
    entries = ("imdb_ngram_attention", "chnsenticorp_ngram_attention")
    example_texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "imdb_ngram_attention": (
            "An hour too long, and I loved every minute of it.",
            "The actors do what they can, but nothing could have saved this script.",
        ),
        "chnsenticorp_ngram_attention": (
            "房间很干净,服务员也很热情,下次还会再来。",
            "隔音太差,一晚上没睡好,早餐也很一般。",
        ),
    }


class MultiLabelTab(Tab):
    """A tab for texts that may have several labels, or none."""

    title = "Multi-label"
    button = "Classify"


class TranslationTab(Tab):
    """A tab for sentences to translate."""

    title = "Translation"
    button = "Translate"
    entries = ("tatoeba_en_fr_transformer", "multi30k_en_de_transformer")
    lines = 2
    example_texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tatoeba_en_fr_transformer": (
            "I would like to know where the station is.",
            "She asked me if I was happy.",
        ),
        "multi30k_en_de_transformer": ("Two dogs play in the snow.",),
    }

    def explanation(self, model: "Task", answered: Answered, options: dict[str, Any]) -> Any:
        return model.explain(answered.example, answered.answer.text)

    def show(self, answer: Any) -> str:
        detail = f"Log-probability {answer.score:.3f}"
        return results.heading_html(answer.text, detail)


class GenerationTab(Tab):
    """A tab for prompts. The text with its completion is explained."""

    title = "Text generation"
    button = "Continue"
    entries = ("shakespeare_character_transformer", "tang_quatrain_transformer")
    accepts_empty = True
    lines = 2
    example_texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "shakespeare_character_transformer": ("ROMEO:\n", "To be, or not"),
        "tang_quatrain_transformer": ("春", "明月"),
    }

    def explanation(self, model: "Task", answered: Answered, options: dict[str, Any]) -> Any:
        return model.explain(answered.answer.text, **options)

    def show(self, answer: Any) -> str:
        prompt, completion = map(markup.escape, (answer.prompt, answer.completion))
        end = "ended by itself" if answer.finished else "reached the maximum length"
        detail = f"Log-probability {answer.score:.1f}; the completion {end}."
        return (
            f'<div class="ka-text"><span class="ka-prompt">{prompt}</span>{completion}</div>'
            f'<div class="ka-detail">{markup.escape(detail)}</div>'
        )


class ForecastingTab(Tab):
    """A tab for tables of a time series."""

    title = "Forecasting"
    button = "Forecast"
    entries = ("etth1_patch_transformer",)
    drawn_button = "Forecast a drawn series"

    def draw(self, model: Any, folder: pathlib.Path) -> pathlib.Path:
        """Draw a series with a daily rhythm, and the means and variances of the training data."""
        descriptor, name = tempfile.mkstemp(".csv", "drawn_", folder)
        os.close(descriptor)
        return draw_series(model, pathlib.Path(name))

    def show(self, answer: Any) -> str:
        end = f"of {counted(len(answer), 'step')}"
        if answer.times is not None:
            end += f", until {answer.times[-1]}".replace("T", " ").removesuffix(":00")
        image = results.figure_html(answer.plot(), "The history and the forecast")
        return results.heading_html(f"Forecast {end}") + results.wide(image)


class AudioTab(Tab):
    """A tab for sounds."""

    title = "Audio"
    button = "Classify"
    entries = ("fsdd_keyword_attention",)

    def input(self, gr: Any) -> Any:
        sound = gr.Audio(
            label=f"{self.task.example.capitalize()}: a WAV file, or a recording",
            sources=["upload", "microphone"],
            type="filepath",
            editable=False,
            buttons=[],
        )
        return _uploads_alone(sound)


def _write_images(images: Any, folder: pathlib.Path) -> list[pathlib.Path]:
    from PIL import Image

    paths = []
    for pixels in images:
        descriptor, name = tempfile.mkstemp(".png", "drawn_", folder)
        os.close(descriptor)
        Image.fromarray(pixels).save(name)
        paths.append(pathlib.Path(name))
    return paths


def _uploads_alone(component: Any) -> Any:
    """Let a component take files of the folder of uploads alone.

    A forged request can name any path or URL. gradio reads files below the working folder, and
    downloads URLs.
    """
    move = component.async_move_resource_to_block_cache
    folder = pathlib.Path(component.GRADIO_CACHE).resolve()

    async def move_path(path: Any) -> Any:
        if path is not None and not pathlib.Path(path).resolve().is_relative_to(folder):
            raise ValueError("Upload the file: paths and addresses are not read.")
        return await move(path)

    component.async_move_resource_to_block_cache = move_path
    return component


def _messages(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return the messages of the warnings for users."""
    return [str(each.message) for each in caught if issubclass(each.category, UserWarning)]


def draw_series(model: Any, path: pathlib.Path) -> pathlib.Path:
    """Write a table that a forecaster reads: a rhythm of a day, or of 7 rows, with noise.

    Args:
        model: The forecaster.
        path: The file to write.
    """
    import numpy as np

    random = np.random.default_rng(0)
    names, step, rows = model.variable_names, model.step, model.history_length
    count = model.num_variables
    names = names or tuple(f"variable_{number + 1}" for number in range(count))
    period = DAY / step if step and step < DAY else 7.0
    time = np.arange(rows)[:, None]
    phase = np.linspace(0.0, np.pi / 2, count)
    wave = np.sin(2.0 * np.pi * time / period + phase)
    drift = np.cumsum(random.standard_normal((rows, count)), axis=0) / np.sqrt(rows)
    values = 0.8 * wave + 0.5 * drift + 0.2 * random.standard_normal((rows, count))
    mean, std = (np.asarray(each, "float64") for each in (model.mean, model.std))
    values = mean + std * values
    header, start = list(names), np.datetime64("2024-01-01T00:00:00", "s")
    if step:
        header.insert(0, model.time_column or "time")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row, numbers in enumerate(values):
            cells = [f"{number:.4f}" for number in numbers]
            if step:
                cells.insert(0, str(start + row * np.timedelta64(int(step), "s")).replace("T", " "))
            writer.writerow(cells)
    return path


# By the name of the task, in the order of the page.
TABS: dict[str, type[Tab]] = {
    "image_classification": ImageTab,
    "text_classification": TextTab,
    "multi_label_text_classification": MultiLabelTab,
    "translation": TranslationTab,
    "text_generation": GenerationTab,
    "forecasting": ForecastingTab,
    "audio_classification": AudioTab,
    "object_detection": DetectionTab,
}


def register_tab(task: str, tab: type[Tab]) -> None:
    """Show a task by a tab of its own.

    Args:
        task: The name of the task.
        tab: A subclass of `Tab`.

    Raises:
        ValueError: The task has another tab already.

    Example:

    >>> class SummaryTab(Tab):
    ...     title = "Summaries"
    >>> register_tab("summarization", SummaryTab)
    >>> TABS.pop("summarization").title
    'Summaries'
    """
    if TABS.get(task, tab) is not tab:
        raise ValueError(f"The task {task!r} has the tab {TABS[task].__name__} already.")
    TABS[task] = tab


def default_entries() -> list[str]:
    """Return the entries that are shown if no model is named, in the order of the tabs.

    Example:

    >>> default_entries()[:2]
    ['cifar10_attention_net', 'shapes_small_attention_cnn']
    """
    return [name for tab in TABS.values() for name in tab.entries]


def group(models: Sequence[PageModel]) -> list[tuple[Tab, list[PageModel]]]:
    """Return a tab for each task of the models, with the models of the task.

    Tasks are in the order of `TABS`, others after them; models in the given order.
    """
    names = dict.fromkeys((*TABS, *(model.task.name for model in models)))
    groups = {name: [model for model in models if model.task.name == name] for name in names}
    return [
        (TABS.get(name, Tab)(members[0].task), members)
        for name, members in groups.items()
        if members
    ]
