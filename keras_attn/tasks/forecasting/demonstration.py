"""The demonstration of forecasting: `keras-attn demo --task forecasting`."""

from typing import Any

import numpy as np

from keras_attn import datasets
from keras_attn.recipes import Demonstration, parse_recipe

RECIPE: dict[str, Any] = {
    "task": "forecasting",
    "description": "A Transformer over patches of the last week, beside a linear map.",
    "dataset": "sales",
    "architecture": "patch_transformer",
    "model": {
        "num_variables": 2,
        "history": 168,
        "horizon": 24,
        "quantiles": [0.1, 0.9],
        "patch_length": 12,
        "patch_stride": 12,
        "model_dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_dim": 64,
        "center": "last",
        "shortcut": True,
    },
    "forecast": {"season": 24},
    "variants": {"no_attention": {"attention": "none"}},
    "optimizer": {"name": "adamw", "learning_rate": 0.002},
    "schedule": {"warmup_epochs": 1.0, "decay": "cosine"},
    "training": {"epochs": 6, "batch_size": 64},
}


def demonstration() -> Demonstration:
    """Return the model and the data of the demonstration, see `TaskDescription.demonstration`."""
    dataset = datasets.load("sales")
    test = dataset["test"]
    history = test.values[-192:-24]
    following = np.round(test.values[-24].astype("float64"), 1).tolist()
    return Demonstration(
        f"{len(test.values):,} hours of the visitors and the sales of a shop. The answer is the "
        "next day, with a band of 80 %.",
        parse_recipe(RECIPE),
        dataset,
        {"values": history[None].astype("float32")},
        f"visitors and sales in the next hour {following}",
    )
