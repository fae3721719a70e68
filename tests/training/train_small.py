"""Run in a process of its own: to be killed, stopped, or denied the disk."""

import argparse
import os
import pathlib
import resource
import signal
import sys

import keras

from keras_attn import datasets, training
from keras_attn.training.interruption import TERMINATED
from tests import conftest


class After(keras.callbacks.Callback):
    """Does something after a number of steps or epochs of the whole run."""

    def __init__(self, act, step=None, epoch=None):
        super().__init__()
        self.act, self.step, self.epoch, self.steps = act, step, epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1  # of this process; the optimizer's own number lags behind on JAX
        if self.steps == self.step:
            self.act()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.act()


def fill_the_disk():
    """Let no file grow beyond some kilobytes: to a writer that is a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stop-at", type=int, help="SIGTERM after this step")
    parser.add_argument("--full-after", type=int, help="a full disk after this epoch")
    parser.add_argument("--every", type=int, help="steps between checkpoints")
    arguments = parser.parse_args()
    recipe = conftest.make_small_recipe()
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"epochs": 30})}
    )
    shapes = datasets.shapes.draw_shapes(seed=1, sizes={"train": 192, "validation": 32, "test": 32})
    acts = []
    if arguments.stop_at:
        acts.append(After(lambda: os.kill(os.getpid(), signal.SIGTERM), step=arguments.stop_at))
    if arguments.full_after is not None:
        acts.append(After(fill_the_disk, epoch=arguments.full_after))
    try:
        training.train(
            recipe,
            arguments.folder,
            dataset=shapes,
            resume=arguments.resume,
            checkpoint_steps=arguments.every,
            callbacks=acts,
            verbose=0,
        )
    except training.InterruptedTrainingError as error:
        print(error, file=sys.stderr)
        sys.exit(TERMINATED)


if __name__ == "__main__":
    main()
