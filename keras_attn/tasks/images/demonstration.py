"""The demonstration of images: `keras-attn demo --task images`."""

from typing import Any

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "image_classification",
    "description": "Two convolutions and one attention.",
    "dataset": "shapes",
    "architecture": "small_attention_cnn",
    "model": {"filters": [32, 64], "key_channels": 64, "pool": "average"},
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 8, "batch_size": 64},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("shapes")
    test = dataset["test"]
    return Demonstration(
        f"{len(dataset['train']):,} drawn images of 32x32. Each holds two colored figures and a "
        "white one; the answer is the color of the figure that has the white one's shape.",
        parse_recipe(RECIPE),
        dataset,
        {"images": test.images[:1]},
        dataset.label_names[test.labels[0]],
    )
