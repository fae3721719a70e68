"""The command line, `keras-attn`."""

from keras_attn.cli.commands import app
from keras_attn.cli.entry_point import main

__all__ = ["app", "main"]
