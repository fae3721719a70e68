"""The registry of architectures: each module of this package registers the builder it defines."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import keras
import pydantic

from keras_attn._memory import naming_lack_of_memory
from keras_attn._names import unknown
from keras_attn._setting_errors import setting_problems

Builder = Callable[[Any], keras.Model]
BuilderT = TypeVar("BuilderT", bound=Builder)


@dataclasses.dataclass(frozen=True)
class ArchitectureInfo:
    """A registered architecture.

    Attributes:
        name: The name that recipes, `configure` and `build` use.
        task: The name of the task that it is for, such as `"image_classification"`.
        config: The class of its configurations, a frozen dataclass.
        build: Function from a configuration to a `keras.Model` with fresh weights.
    """

    name: str
    task: str
    config: type
    build: Builder


_registered: dict[str, ArchitectureInfo] = {}


def register_architecture(
    name: str, *, task: str, config: type | None = None
) -> Callable[[BuilderT], BuilderT]:
    """Register a function as the builder of an architecture.

    Args:
        name: The name that recipes, `configure` and `build` use.
        task: The name of the task that the architecture is for.
        config: The class of its configurations, see `frozen_config`. None takes the annotation
            of the builder's first parameter.

    Returns:
        A decorator for a function that takes a configuration and returns a `keras.Model`.

    Raises:
        ValueError: The name is taken.
        TypeError: No config class is given or annotated, or it is not a dataclass.

    Example:

    >>> import keras
    >>> from keras_attn import models
    >>> @models.frozen_config
    ... class LinearConfig:
    ...     num_classes: int = 10
    >>> @models.register_architecture("linear", task="image_classification")
    ... def build_linear(config: LinearConfig) -> keras.Model:
    ...     layers = [keras.Input((32, 32, 3)), keras.layers.Flatten()]
    ...     return keras.Sequential([*layers, keras.layers.Dense(config.num_classes)])
    >>> models.build("linear", num_classes=4).count_params()
    12292
    >>> models.unregister_architecture("linear")
    """
    if name in _registered:
        raise ValueError(f"An architecture is registered as {name!r} already. Choose another name.")

    def decorate(builder: BuilderT) -> BuilderT:
        config_class = config or _annotated_config(builder)
        if not (isinstance(config_class, type) and dataclasses.is_dataclass(config_class)):
            raise TypeError(
                f"The config class of {name!r} must be a dataclass. Received: {config_class!r}. "
                "Annotate the builder's first parameter with it, or pass `config`."
            )
        _registered[name] = ArchitectureInfo(name, task, config_class, builder)
        return builder

    return decorate


def unregister_architecture(name: str) -> None:
    """Remove an architecture from the registry.

    Raises:
        ValueError: No architecture has that name.
    """
    describe_architecture(name)
    del _registered[name]


def describe_architecture(name: str) -> ArchitectureInfo:
    """Return what is registered under a name.

    Raises:
        ValueError: No architecture has that name; the message suggests similar ones.

    Example:

    >>> describe_architecture("attention_net").task
    'image_classification'
    """
    if name not in _registered:
        raise ValueError(unknown("architecture", name, sorted(_registered)))
    return _registered[name]


def list_architectures(task: str | None = None) -> list[str]:
    """Return the names of all registered architectures, sorted.

    Args:
        task: Only architectures for this task.

    Example:

    >>> list_architectures("translation")
    ['recurrent_translator', 'translation_transformer']
    """
    return sorted(name for name, info in _registered.items() if task in (None, info.task))


def configure(architecture: str, **settings: Any) -> Any:
    """Return the validated configuration of an architecture.

    Args:
        architecture: A registered name, see `list_architectures`.
        **settings: Values of its config class; the others keep their defaults.

    Raises:
        ValueError: No architecture has that name, or a setting is unknown or impossible;
            the message names each, and what is accepted.

    Example:

    >>> configure("small_attention_cnn", num_classes=3).filters
    (32, 64)
    """
    config = describe_architecture(architecture).config
    try:
        return config(**settings)
    except pydantic.ValidationError as error:
        accepted = [field.name for field in dataclasses.fields(config)]
        lines = [f"The settings of {architecture!r} cannot be used:"]
        for problem in setting_problems(error):
            if problem.type == "unknown":
                key = problem.key
                lines.append(f"  {unknown('setting', key, accepted)}{_renamed(key, accepted)}")
            elif problem.type == "other":
                lines.append(f"  {problem.text}")
            else:
                lines.append(f"  {problem.key}: {problem.text}")
        raise ValueError("\n".join(lines)) from error


def _renamed(key: str, accepted: list[str]) -> str:
    """Return the name of a setting that other libraries call `key`, as a sentence."""
    names = {"classes": "num_classes", "image_shape": "image_size", "input_shape": "image_size"}
    name = names.get(key)
    if name not in accepted:
        return ""
    resized = "; `keras_attn.tasks.ImageClassifier` resizes images of any size to it"
    return f" Pass {name!r}{resized * (name == 'image_size')}."


def build(architecture: str, **settings: Any) -> keras.Model:
    """Build an architecture by name, with fresh weights.

    Args:
        architecture: A registered name, see `list_architectures`.
        **settings: Values of its config class; the others keep their defaults.

    Raises:
        ValueError: See `configure`.
        MemoryError: There is not enough memory for the weights.

    Example:

    >>> build("small_attention_cnn", attention="sigmoid", num_classes=3).output.shape
    (None, 3)
    """
    info, config = describe_architecture(architecture), configure(architecture, **settings)
    received = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    remedy = "Reduce its sizes" + (f". Received: {received}" if received else "")
    with naming_lack_of_memory(f"the weights of {architecture!r}", remedy):
        return info.build(config)


def _annotated_config(builder: Builder) -> Any:
    """Return the annotation of a builder's first parameter, or None."""
    first = next(iter(inspect.signature(builder).parameters), "")
    return typing.get_type_hints(builder).get(first)
