"""Run in a process of its own, to be killed."""

import pathlib
import sys

from keras_attn import data, training
from tests import conftest


def main(folder, resume):
    recipe = conftest.make_small_recipe()
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"epochs": 30})}
    )
    shapes = data.shapes(seed=1, sizes={"train": 192, "validation": 32, "test": 32})
    training.train(recipe, folder, dataset=shapes, resume=resume, verbose=0)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), "--resume" in sys.argv)
