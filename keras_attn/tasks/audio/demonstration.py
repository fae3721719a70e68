"""The demonstration of spoken words: `keras-attn demo --task audio`."""

from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "audio_classification",
    "description": "Convolutions and one layer of attention over time.",
    "dataset": "melodies",
    "architecture": "keyword_attention",
    "model": {
        "stem_filters": [8, 16],
        "model_dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 64,
    },
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 12, "batch_size": 32},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("melodies")
    test = dataset["test"]
    waveform = test.waveforms[0]
    return Demonstration(
        f"{len(dataset['train']):,} generated waveforms of two notes. The answer is whether the "
        "second one is higher, lower or the same.",
        parse_recipe(RECIPE),
        dataset,
        {"waveforms": waveform.samples[None], "rate": np.array(waveform.rate, "int32")},
        dataset.label_names[test.labels[0]],
    )
