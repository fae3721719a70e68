"""The demonstration of translation: `keras-attn demo --task translation`."""

from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "translation",
    "description": "A Transformer of one encoder and one decoder layer.",
    "dataset": "numerals",
    "architecture": "translation_transformer",
    "model": {
        "vocabulary_size": 340,
        "model_dim": 64,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "num_heads": 4,
        "intermediate_dim": 128,
    },
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 8, "batch_size": 1024},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("numerals")
    test = dataset["test"]
    return Demonstration(
        f"{len(dataset['train']):,} numbers in English words, to be translated into Chinese "
        f"numerals. An example: {test.sources[0]!r}.",
        parse_recipe(RECIPE),
        dataset,
        {"texts": np.array(test.sources[:1])},
        test.targets[0],
    )
