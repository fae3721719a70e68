"""The tab of a task: its fields, its answer and its explanation.

Answers and explanations are those of `Task.answers` and `Task.explain`, with the options that the
description of the task names.
"""

import dataclasses
import html as markup
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_attn.app import results
from keras_attn.app.models import LOCK, PageModel
from keras_attn.recipes import TaskDescription

if TYPE_CHECKING:
    from keras_attn.tasks import Task


@dataclasses.dataclass(frozen=True)
class Field:
    """The field of an option of `Task.answers` or `Task.explain`.

    Attributes:
        label: Its title.
        info: Help text. An empty field stands for the default of the model.
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
            return uploads_alone(gr.File(label=self.task.example.capitalize()))
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


def uploads_alone(component: Any) -> Any:
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
