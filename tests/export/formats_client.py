"""Run in a process of its own: a user of ONNX and LiteRT models, who has no TensorFlow.

Each file `NAME.npz` in the folder holds inputs of `NAME.onnx` or `NAME.tflite`; the outputs are
written to `NAME.out.npz`.
"""

import pathlib
import sys

import numpy as np


def run_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    names = [each.name for each in session.get_outputs()]
    assert "keras_attn" in session.get_modelmeta().custom_metadata_map["library"]
    return dict(zip(names, session.run(None, inputs), strict=True))


def run_litert(path, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (signature,) = interpreter.get_signature_list()
    return interpreter.get_signature_runner(signature)(**inputs)


def main(folder):
    sys.modules.update(dict.fromkeys(("tensorflow", "keras", "keras_attn", "jax", "torch")))
    for path in sorted(folder.glob("*.npz")):
        inputs = dict(np.load(path))
        for suffix, run in ((".onnx", run_onnx), (".tflite", run_litert)):
            if (model := path.with_suffix(suffix)).is_file():
                np.savez(path.with_suffix(".out.npz"), **run(model, inputs))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
