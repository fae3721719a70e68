"""The demonstration of texts: `keras-attn demo --task sentiment`."""

from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "text_classification",
    "description": "A Transformer encoder of one layer, pooled by attention.",
    "dataset": "remarks",
    "architecture": "text_transformer",
    "model": {
        "vocabulary_sizes": [2000],
        "embedding_dim": 32,
        "model_dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 64,
    },
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.003},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 6, "batch_size": 32},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("remarks")
    test = dataset["test"]
    return Demonstration(
        f"{len(dataset['train']):,} generated reviews, in many of which words of praise and of "
        f"blame mislead. The answer is the verdict. An example: {test.texts[0]!r}.",
        parse_recipe(RECIPE),
        dataset,
        {"texts": np.array(test.texts[:1])},
        dataset.label_names[test.labels[0]],
    )
