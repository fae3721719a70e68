"""The command line, `keras-attn`."""

from keras_attn.cli.commands import app, main

__all__ = ["app", "main"]
