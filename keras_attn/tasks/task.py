"""What all tasks share: they are saved as a whole, with the parts they are made of."""

import os
from typing import Any, ClassVar, Self

import keras


class TaskModel(keras.Model):
    """A model made of Keras objects that its constructor takes, whose names are in `_parts`."""

    _parts: ClassVar[tuple[str, ...]]

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Save the whole model with all it is made of, as `keras.Model.save` does."""
        if self.optimizer is not None and not self.optimizer.built:
            # Keras builds the optimizer on loading, and warns if the file holds one unbuilt.
            self.optimizer.build(self.trainable_variables)
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self._parts
        }
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in cls._parts
        }
        return cls(**{**config, **parts})
