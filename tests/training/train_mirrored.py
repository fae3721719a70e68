"""Run in a process of its own: trains on two logical CPUs, and compares the replicas."""

import pathlib
import sys

import numpy as np
import tensorflow as tf

from keras_attn import data, training
from tests import conftest


def main(folder):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    shapes = data.shapes(seed=1, sizes={"train": 192, "validation": 32, "test": 32})
    recipe = conftest.make_small_recipe()
    run = training.train(recipe, folder, dataset=shapes, strategy=strategy, verbose=0)
    for variable in run.classifier.weights:
        replicas = [
            np.array(value) for value in strategy.experimental_local_results(variable.value)
        ]
        assert len(replicas) == 2, variable.path
        np.testing.assert_array_equal(*replicas)
    print("equal")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
