"""From the name of an architecture to a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn import models
from keras_attn.recipes import describe_task
from keras_attn.tasks.task import Task


def from_architecture(
    architecture: str,
    label_names: Sequence[str] = (),
    preprocessing: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Task:
    """Return the task of an architecture of `keras_attn.models`, with fresh weights.

    Args:
        architecture: A registered architecture, see `keras_attn.models.list_architectures`.
        label_names: The name of each class; none for translation.
        preprocessing: Settings of what makes numbers of raw input, such as those of a
            `keras_attn.text.NGramEncoder` for texts; for translation `max_length`, `lowercase`
            and `min_count`, see `Translator`. Images have none.
        **settings: Settings of the architecture.

    Raises:
        ValueError: No architecture has that name; a setting is unknown or impossible.

    Example:

    >>> from_architecture("small_attention_cnn", ("cat", "dog")).label_names
    ('cat', 'dog')
    """
    if "num_classes" in settings:
        raise ValueError(
            "The labels say how many classes there are: leave out `num_classes`, and give "
            f"`label_names`. Received: num_classes={settings['num_classes']!r}."
        )
    task = describe_task(models.describe_architecture(architecture).task)
    return task.model_class().from_architecture(
        architecture, label_names=label_names, preprocessing=preprocessing, **settings
    )
