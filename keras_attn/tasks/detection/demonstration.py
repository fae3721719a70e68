"""The demonstration of object detection: `keras-attn demo --task detection`."""

from typing import Any

from keras_attn import datasets
from keras_attn._wording import counted
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "object_detection",
    "description": "Convolutions, one layer of attention, and a dense head.",
    "dataset": "discs",
    "architecture": "attention_detector",
    "model": {
        "image_size": [96, 128],
        "stem_filters": 16,
        "stage_filters": [32, 32],
        "stage_blocks": [1, 1],
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 64,
        "head_filters": 32,
        "batch_norm_momentum": 0.9,
    },
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 6, "batch_size": 16},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("discs")
    test = dataset["test"]
    names = [dataset.label_names[label] for label in test.labels[0]]
    return Demonstration(
        f"{len(dataset['train'])} drawn images of discs and rings. The answer is a box, a label "
        "and a score for each.",
        parse_recipe(RECIPE),
        dataset,
        {"images": test.images[0][None]},
        f"{counted(len(names), 'object')}: {', '.join(sorted(names))}",
    )
