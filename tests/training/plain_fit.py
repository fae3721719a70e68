"""Run as one of several workers: what Keras itself does there, with a model of its own."""

import sys

import keras
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    if "--built" in sys.argv:
        shapes = (keras.KerasTensor((None, 3)), keras.KerasTensor((None, 1)))
        model._symbolic_build(data_batch=shapes)
        model._maybe_symbolic_build = lambda **_: None
x = np.ones((8, 3), "float32")
model.fit(x, x[:, :1], batch_size=4, epochs=1, verbose=0)
