"""What `keras-attn demo` trains for a task."""

import dataclasses
from typing import TYPE_CHECKING, Any

from keras_attn.recipes.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from keras_attn.datasets import Dataset


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """A small model and generated data that show a task in a minute, offline.

    Attributes:
        data: A sentence or two on the data, and on what an answer is.
        recipe: The recipe, with the variant `no_attention` if the architecture has that baseline.
        dataset: The data set, with the splits `train`, `validation` and `test`.
        serving_inputs: A test example, as the inputs of the exported SavedModel by name.
        target: What is right for that example, as text.
    """

    data: str
    recipe: Recipe
    dataset: "Dataset[Any]"
    serving_inputs: "dict[str, np.ndarray]"
    target: str
