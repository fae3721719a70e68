"""Requests that a server must refuse, as `benchmarks/serving.py` sends them, and small images."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
PNG = {"Content-Type": "image/png"}
JPEG = {"Content-Type": "image/jpeg"}
Request = tuple[str, bytes, dict[str, str]]  # what is wrong with it, body, headers


def document(**content: Any) -> bytes:
    """Return a body in JSON."""
    return json.dumps(content).encode()


def to_texts() -> Iterator[Request]:
    """Yield requests that a model of texts must refuse."""
    yield "empty body", b"", JSON
    yield "no JSON", b"texts=good", JSON
    yield "the number NaN", b"NaN", JSON
    yield "JSON that is a list", b"[1, 2]", JSON
    yield "100,000 open brackets", b'{"inputs": ' + b"[" * 100_000, JSON
    yield "100,000 nested lists", b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON
    yield "unknown key", document(inputs={"texts": ["a"]}, verbose=True), JSON
    yield "no inputs", document(signature_name="serve"), JSON
    yield "inputs and instances", document(inputs=["a"], instances=["a"]), JSON
    yield "unknown signature", document(signature_name="../../x", inputs=["a"]), JSON
    yield "signature that is a list", document(signature_name=["a"], inputs=["a"]), JSON
    yield "unknown input", document(inputs={"images": ["a"]}), JSON
    yield "number as text", document(inputs={"texts": [3]}), JSON
    yield "null as text", document(inputs={"texts": ["a", None]}), JSON
    yield "object as text", document(instances=[{"texts": {"a": "b"}}]), JSON
    yield "text without a list", document(inputs={"texts": "a"}), JSON
    yield "list of lists of texts", document(inputs={"texts": [["a"], ["b"]]}), JSON
    yield "no example", document(inputs={"texts": []}), JSON
    yield "129 examples", document(inputs={"texts": ["a"] * 129}), JSON
    yield "text of 1 MB", document(inputs={"texts": ["a " * 500_000]}), JSON
    yield "text of 10 MB", document(inputs={"texts": ["a " * 5_000_000]}), JSON
    yield "half of a surrogate pair", b'{"inputs": {"texts": ["\\ud800"]}}', JSON
    yield "invalid UTF-8 in JSON", b'{"inputs": {"texts": ["\xff\xfe"]}}', JSON
    yield "invalid UTF-8 in text", b"\xff\xfe good", TEXT
    yield "invalid base64", document(inputs={"texts": [{"b64": "=*"}]}), JSON
    encoded = base64.b64encode(b"\xff\xfe").decode()
    yield "invalid UTF-8 in base64", document(inputs={"texts": [{"b64": encoded}]}), JSON
    yield (
        "compressed body",
        zlib.compress(b"a" * 10**6),
        {**JSON, "Content-Encoding": "deflate"},
    )
    yield "unknown content type", b"<a/>", {"Content-Type": "application/xml"}
    yield "image to a model of texts", jpeg(), JPEG


def to_images() -> Iterator[Request]:
    """Yield requests that a model of images must refuse."""
    rows = [[[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]]

    def pixels(value: Any) -> bytes:
        changed = json.loads(json.dumps(rows))
        changed[0][1][1][2] = value
        return document(inputs={"images": changed})

    yield "pixel of 300", pixels(300), JSON
    yield "pixel of -1", pixels(-1), JSON
    yield "pixel of 0.5", pixels(0.5), JSON
    yield "pixel of 1e400", pixels(0).replace(b", 0]]]]", b", 1e400]]]]"), JSON
    yield "pixel of 10 ** 400", pixels(10**400), JSON
    yield "pixel that is NaN", pixels(float("nan")), JSON
    yield "pixel that is null", pixels(None), JSON
    yield "pixel that is true", pixels(True), JSON
    yield "pixel that is a text", pixels("0"), JSON
    yield "rows of different length", document(inputs={"images": [[[[0, 0, 0]], []]]}), JSON
    yield "gray pixels", document(inputs={"images": [[[[0]]]]}), JSON
    yield "one image without the batch axis", document(inputs={"images": rows[0]}), JSON
    yield "image without pixels", document(inputs={"images": [[]]}), JSON
    yield "truncated JPEG", jpeg()[:-500], JPEG
    yield "JPEG header alone", jpeg()[:20], JPEG
    yield "text as JPEG", b"not a picture", JPEG
    yield "no file", b"", PNG
    yield "PNG that ends in its header", png(np.zeros((8, 8, 3), np.uint8))[:20], PNG
    yield "truncated PNG", png(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3))[:200], PNG
    yield "PNG of 900 million pixels", png_file(30_000, 30_000, b"\0" * 10**6), PNG
    yield "PNG of 2 ** 62 pixels", png_file(2**31 - 1, 2**31 - 1, b""), PNG
    hidden = struct.pack(">I4sIII", 8, b"zzZz", 1, 1, 0)
    image = png_file(30_000, 30_000, b"\0" * 10**6)
    yield "PNG with a chunk before its header", image[:8] + hidden + image[8:], PNG
    yield "PNG with too few rows", png_file(64, 64, b"\0" * 193), PNG
    yield "GIF", b"GIF89a" + bytes(100), {"Content-Type": "image/gif"}
    yield "text to a model of images", b"a cat", TEXT


def png(pixels: np.ndarray) -> bytes:
    """Return an array `(H, W, 3)` of uint8 as a PNG file."""
    height, width, _ = pixels.shape
    return png_file(width, height, b"".join(b"\0" + row.tobytes() for row in pixels))


def png_file(width: int, height: int, rows: bytes) -> bytes:
    """Return a PNG file of RGB, whose rows need not fit its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def jpeg() -> bytes:
    """Return a JPEG file of 64 x 64 pixels."""
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return tf.io.encode_jpeg(pixels).numpy()
