"""Building a task from the name of an architecture."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn import models
from keras_attn._names import refuse_renamed
from keras_attn.recipes import describe_task
from keras_attn.tasks._labels import LABEL_ARGUMENTS
from keras_attn.tasks.task import Task


def from_architecture(
    architecture: str,
    label_names: Sequence[str] = (),
    preprocessing: Mapping[str, Any] | None = None,
    *,
    multi_label: bool = False,
    **settings: Any,
) -> Task:
    """Return the task of an architecture of `keras_attn.models`, with fresh weights.

    Args:
        architecture: Name of a registered architecture, see
            `keras_attn.models.list_architectures`.
        label_names: The name of each class; empty for translation.
        preprocessing: Settings of the conversion of raw input into arrays: for text
            classification those of `keras_attn.text.NGramEncoder` and `initial_ratios`, see
            `TextClassifier`; for translation `max_length`, `lowercase`, `min_count` and
            `fold_targets`, see `Translator`; for audio classification those of
            `keras_attn.layers.LogMelSpectrogram`. Image classification has none.
        multi_label: Whether an example may have several of the labels, or none, see
            `keras_attn.tasks.MultiLabelTextClassifier`; for text classification.
        **settings: Settings of the architecture.

    Raises:
        ValueError: No architecture has that name, a setting is unknown or out of range, or the task
            has no models of several labels.

    Example:

    >>> from_architecture("small_attention_cnn", ("cat", "dog")).label_names
    ('cat', 'dog')
    """
    refuse_renamed("from_architecture", settings, LABEL_ARGUMENTS)
    if "num_classes" in settings:
        raise ValueError(
            "The number of classes is the length of `label_names`: leave out `num_classes`. "
            f"Received: num_classes={settings['num_classes']!r}."
        )
    task = describe_task(models.describe_architecture(architecture).task)
    if len(label_names) == 1 and task.min_labels > 1:
        remedy = "Add a name for the examples without it, such as 'other'"
        if multi_label:
            remedy += ", and leave out `multi_label`"
        raise ValueError(
            "`label_names` must have at least two names. Received: "
            f"{list(label_names)!r}. {remedy}."
        )
    if multi_label:
        if task.multi_label_task is None:
            raise ValueError(
                "`multi_label` is for the architectures of text classification. Received: "
                f"multi_label={multi_label!r} for {architecture!r}, which is for {task.name}. "
                "Leave it out."
            )
        task = describe_task(task.multi_label_task)
    return task.model_class().from_architecture(
        architecture, label_names=label_names, preprocessing=preprocessing, **settings
    )
