"""The models of the page. Importing it imports neither gradio nor TensorFlow."""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras_attn import datasets, zoo
from keras_attn.recipes import TaskDescription

if TYPE_CHECKING:
    from keras_attn.tasks import Task

# Keras and TensorFlow have state by thread, and requests come from many threads.
LOCK = threading.RLock()
MAX_LABELS = 20  # whose names are shown


@dataclasses.dataclass(frozen=True)
class PageModel:
    """A model of the page.

    Attributes:
        name: An entry of the zoo, or what `keras_attn.load` reads.
        title: The name that the page shows.
        task: Its task.
        build: Function that loads the model.
    """

    name: str
    title: str
    task: TaskDescription
    build: "Callable[[], Task]"

    @functools.cached_property
    def model(self) -> "Task":
        """The model, loaded on first access. Hold `LOCK`."""
        return self.build()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded."""
        return "model" in self.__dict__

    @property
    def about(self) -> str:
        """Description, test figure and labels of an entry, without loading it.

        Example:

        >>> from keras_attn.recipes import describe_task
        >>> task = describe_task("text_classification")
        >>> PageModel("imdb_ngram_attention", "imdb", task, lambda: None).about.splitlines()[-1]
        'Labels: negative, positive.'
        """
        if zoo.is_saved(self.name):
            return f"A saved model for {self.task.name.replace('_', ' ')}."
        entry = zoo.describe(self.name)
        lines = [entry.recipe.description]
        if runs := entry.runs():
            title, figure = self.task.primary_metric.title, self.task.test_figure(runs)
            title = "" if title in figure else f"{title} "
            lines.append(f"Trained on {entry.recipe.dataset}; on its test split {title}{figure}.")
        if names := datasets.describe_dataset(entry.recipe.dataset).label_names:
            further = f", ... ({len(names)} labels)" if len(names) > MAX_LABELS else ""
            lines.append(f"Labels: {', '.join(names[:MAX_LABELS])}{further}.")
        return "\n".join(lines)


def titles(names: Sequence[str]) -> list[str]:
    """Return the title of each model: the end of a path, or the whole path of equal ends.

    Example:

    >>> titles(["imdb_transformer", "runs/mine", "a/model.keras", "b/model.keras"])
    ['imdb_transformer', 'mine', 'a/model.keras', 'b/model.keras']
    >>> titles(["hf://owner/name"])
    ['hf://owner/name']
    """
    ends = [name if "://" in name else pathlib.PurePath(name).name or name for name in names]
    return [name if ends.count(end) > 1 else end for name, end in zip(names, ends, strict=True)]
