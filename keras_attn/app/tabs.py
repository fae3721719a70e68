"""The tabs of the tasks. A task without a tab of its own gets `Tab`."""

import html as markup
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_attn import zoo
from keras_attn._wording import counted
from keras_attn.app import drawn, results
from keras_attn.app.models import PageModel
from keras_attn.app.tab import Answered, Tab, uploads_alone

if TYPE_CHECKING:
    from keras_attn.tasks import Task

EXAMPLES = 4  # images that are drawn


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
        return uploads_alone(image)

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

        return drawn.write_images(draw_shapes(sizes={"test": EXAMPLES})["test"].images, folder)


class DetectionTab(ImageTab):
    """A tab for images with objects."""

    title = "Object detection"
    button = "Detect"
    entries: ClassVar[tuple[str, ...]] = ("bccd_attention_detector",)

    def images(self, dataset: str, folder: pathlib.Path) -> list[pathlib.Path]:
        if dataset not in ("bccd", "discs"):  # red discs look to its model like blood cells
            return []
        from keras_attn import datasets

        return drawn.write_images(datasets.load("discs")["test"].images[:EXAMPLES], folder)


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
        return drawn.draw_series(model, drawn.new_file(folder, ".csv"))

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
        return uploads_alone(sound)


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
