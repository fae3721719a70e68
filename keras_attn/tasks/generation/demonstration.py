"""The demonstration of text generation: `keras-attn demo --task generation`."""

from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "text_generation",
    "description": "A causal Transformer of two layers.",
    "dataset": "echoes",
    "architecture": "causal_transformer",
    "model": {
        "vocabulary_size": 24,
        "context_length": 32,
        "model_dim": 64,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_dim": 128,
    },
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 8, "batch_size": 64},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("echoes")
    line = dataset["test"].documents[0].strip()
    word, _ = line.split("=")
    return Demonstration(
        f"{len(dataset['train']):,} lines of a random word and its repetition, such as "
        f"{dataset['train'].documents[0].strip()!r}. The prompt is '{word}='.",
        parse_recipe(RECIPE),
        dataset,
        {"texts": np.array([f"{word}="], dtype=object), "seed": np.array(0, "int64")},
        line,
    )
