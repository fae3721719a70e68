"""Run in a process of its own: loads what the contract test saved, and compares."""

import pathlib
import sys

import keras
import numpy as np

import keras_attn.layers  # noqa: F401  (registers the layers)
from tests.layers.test_contract import array, inputs_list


def main(folder):
    with np.load(folder / "expected.npz") as expected:
        for path in sorted(folder.glob("*.keras")):
            model = keras.saving.load_model(path)
            output = array(model(inputs_list(path.stem)))
            np.testing.assert_allclose(output, expected[path.stem], atol=1e-6)
            print(path.stem)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
