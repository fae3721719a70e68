"""From a folder of images to a server: fine-tune, explain, export, quantize, serve and ask.

    pip install 'keras-attn[train,plots,onnx,app]' onnxruntime ai-edge-litert
    pip install -r examples/serving/requirements.txt
    python examples/end_to_end.py pets --entry cifar10_attention_net_quick

`pets` holds a folder of images for each label. Without a folder, images are drawn. The files
are written to `end_to_end/`. The server and the page run until Ctrl-C; with `--once` they end
after their first answer.
"""

import argparse
import contextlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from keras_attn import datasets, tasks, training, zoo

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # straight to 127.0.0.1
SERVER = pathlib.Path(__file__).resolve().parent / "serving" / "run.py"


def main() -> None:
    """Do each step, and print its result."""
    arguments = parse_arguments()
    logging.getLogger("keras_attn").setLevel(logging.ERROR)  # no note on the new head
    output = arguments.output

    title("Read the images")
    pretrained = zoo.build(arguments.entry)
    folder = arguments.folder or draw_images(output / "images")
    table = datasets.read_images(folder, image_size=pretrained.image_shape[:2])
    splits = datasets.split_images(table, validation=0.2, test=0.2, seed=0)
    print(table.account)
    output.mkdir(parents=True, exist_ok=True)
    image_file = output / "image.jpg"
    Image.fromarray(splits["test"].images[0]).resize((256, 256)).save(image_file, quality=95)

    title("Fine-tune")
    model, accuracy = fine_tune(arguments.entry, pretrained, splits, output / "run")
    model.save(output / "model.keras")
    print(f"{megabytes(output / 'model.keras')}, test accuracy {accuracy:.1%}")

    title("Explain an answer")
    explanation = model.explain(image_file)
    explanation.plot().savefig(output / "explanation.png", bbox_inches="tight")
    answer = explanation.answer
    print(f"{answer.label} ({answer.score:.3f}), drawn in {output / 'explanation.png'}")
    for name, agreement in explanation.agreement.items():
        print(f"rank correlation of {name} with covering squares: {agreement:.2f}")

    title("Export")
    served = output / "mine" / "1"
    model.export(served)
    export_files(model, image_file, splits["train"].images[:200])

    title("Quantize")
    model.quantize("int8")
    model.save(output / "int8.keras")
    names = np.array(splits.label_names)[splits["test"].labels]
    correct = [answer.label for answer in model.classify(splits["test"].images)] == names
    print(f"{megabytes(output / 'int8.keras')}, test accuracy {correct.mean():.1%}")

    title("Serve")
    with (
        server(served.parent, arguments.port) as address,
        page(output / "model.keras", arguments.page_port) as page_address,
    ):
        reply = ask(f"{address}/v1/models/mine:predict", image_file)
        print(f"{address} answers {reply['label'][0]} ({reply['score'][0]:.3f})")
        print(f"The page is at {page_address}. Ctrl-C ends both.")
        if not arguments.once:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="a folder for each label")
    parser.add_argument("--entry", default="shapes_small_attention_cnn")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("end_to_end"))
    parser.add_argument("--port", type=int, default=8000, help="of the server")
    parser.add_argument("--page-port", type=int, default=7860)
    parser.add_argument("--once", action="store_true", help="end after the first answer")
    arguments = parser.parse_args()
    entries = zoo.list(task="image_classification", pretrained=True)
    if arguments.entry not in entries:
        parser.error(f"--entry must be one of {', '.join(entries)}. Received: {arguments.entry}")
    if arguments.folder and not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder. Give one with a folder for each label.")
    if arguments.output.exists():
        parser.error(f"{arguments.output} exists. Remove it, or give another --output.")
    return arguments


def title(text: str) -> None:
    """Print the title of a step."""
    print(f"\n== {text}", flush=True)


def draw_images(folder: pathlib.Path) -> pathlib.Path:
    """Write drawn images with two labels, the warmth of a color, and return their folder."""
    shapes = datasets.load("shapes")
    validation = shapes["validation"]
    for index, (image, label) in enumerate(zip(validation.images, validation.labels, strict=True)):
        warm = shapes.label_names[label] in ("red", "yellow")
        path = folder / ("warm" if warm else "cold") / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def fine_tune(
    entry: str, pretrained: tasks.Task, splits: datasets.Dataset, folder: pathlib.Path
) -> tuple[tasks.ImageClassifier, float]:
    """Return a model trained from the weights of an entry, and its test accuracy."""
    changes = {"initial_entry": entry}
    recipe, _ = training.fit_recipe(zoo.describe(entry).recipe, splits, changes=changes)
    run = training.train(recipe, folder, dataset=splits, initial_model=pretrained, verbose=0)
    return run.model, run.record["metrics"]["test"]["accuracy"]


def megabytes(path: pathlib.Path) -> str:
    """Return the size of a file."""
    return f"{path.stat().st_size / 1e6:.2f} MB"


def export_files(
    model: tasks.ImageClassifier, image_file: pathlib.Path, images: np.ndarray
) -> None:
    """Export to ONNX and to LiteRT with 8-bit integers, and print the answers of both."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    onnx, litert = image_file.with_name("model.onnx"), image_file.with_name("model.tflite")
    model.export(onnx, format="onnx")
    model.export(litert, format="litert", quantization="int8", calibration=images)

    height, width, _ = model.image_shape
    resized = Image.open(image_file).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized)[None]  # as the SavedModel resizes
    session = onnxruntime.InferenceSession(onnx)
    runner = Interpreter(model_path=str(litert)).get_signature_runner()
    answers = {
        onnx: session.run(["probabilities"], {"images": pixels})[0],
        litert: runner(images=pixels)["probabilities"],
    }
    for path, probabilities in answers.items():
        label = model.label_names[probabilities.argmax()]
        print(f"{path}: {megabytes(path)}, answers {label} ({probabilities.max():.3f})")


@contextlib.contextmanager
def server(folder: pathlib.Path, port: int) -> Iterator[str]:
    """Serve a SavedModel by Ray Serve, and yield the address."""
    command = [sys.executable, str(SERVER), f"model={folder}", f"port={port}", "replicas=1"]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/v1/models/{folder.name}"):
        yield address


@contextlib.contextmanager
def page(path: pathlib.Path, port: int) -> Iterator[str]:
    """Run `keras-attn app` with a model, and yield the address."""
    command = [sys.executable, "-m", "keras_attn", "app", str(path), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with running([*command, "--no-open"], address):
        yield address


@contextlib.contextmanager
def running(command: list[str], address: str, seconds: float = 120.0) -> Iterator[None]:
    """Run a command that serves an address, from when it answers until the end of the block."""
    if is_served(address):
        raise RuntimeError(f"{address} is served already. End that, or give another port.")
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            end = time.monotonic() + seconds
            while not is_served(address):
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    log.seek(0)
                    raise RuntimeError(f"{address} is not served:\n{log.read()}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def is_served(address: str) -> bool:
    """Return whether an address is served."""
    try:
        with OPENER.open(address, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def ask(address: str, image_file: pathlib.Path) -> Mapping:
    """Return what a server answers to the bytes of a JPEG file."""
    headers = {"Content-Type": "image/jpeg"}
    request = urllib.request.Request(address, image_file.read_bytes(), headers)
    with OPENER.open(request, timeout=60) as reply:
        return json.load(reply)["outputs"]


if __name__ == "__main__":
    main()
