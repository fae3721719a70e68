"""Load models of a hub in a process of its own, which can reach nothing but this machine.

The arguments are `download` or `build` and the models, `NAME` or `NAME SHA256` each; it prints a
JSON list with what each of them gave.
"""

import json
import socket
import sys

connect = socket.socket.connect


def connect_here(self, address):
    assert not isinstance(address, tuple) or address[0] == "127.0.0.1", address
    return connect(self, address)


def download(name, digest):
    from keras_attn import _hub

    folder = _hub.download(name, digest)
    assert "keras" not in sys.modules and "tensorflow" not in sys.modules
    return {"folder": str(folder)}


def build(name, digest):
    import numpy as np

    from keras_attn import zoo
    from keras_attn.cli import models

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    task, load = models.locate(models.find_model(name))  # as a command does
    assert task.name == "image_classification"
    return {
        "logits": zoo.build(name, sha256=digest).logits(images).tolist(),
        "command": load().logits(images).tolist(),
    }


def result(function, name, digest=None):
    try:
        return function(name, digest)
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def main(mode, models):
    socket.socket.connect = connect_here
    function = {"download": download, "build": build}[mode]
    print(json.dumps([result(function, *words.split()) for words in models]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
