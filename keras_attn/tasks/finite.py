"""Check of the weights of a model that was loaded."""

import keras
import numpy as np

MAX_NAMES = 3  # of weights in a message


def check_finite(model: keras.Model, source: object) -> None:
    """Raise ValueError if a weight of a model is NaN or infinite.

    Args:
        model: The model.
        source: The file that the weights come from, for the message.
    """
    names = [
        weight.path
        for weight in model.weights
        if "float" in weight.dtype and not np.isfinite(np.asarray(weight, "float32")).all()
    ]
    if names:
        listing = ", ".join(names[:MAX_NAMES])
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise ValueError(
            f"{source} holds values that are not finite (NaN or infinity), in {listing}{more}: "
            "every answer would be wrong. Its training has diverged; train it again at a lower "
            "learning rate."
        )
