"""The signature of encoded images: decoding, EXIF orientation, and refusals."""

import io
import pathlib
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from keras_attn import datasets
from keras_attn.datasets import decode_image
from keras_attn.tasks import from_architecture
from keras_attn.tasks._image_bytes import decode_image_in_graph, orientation_in_graph

pytestmark = pytest.mark.tensorflow
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype("uint8")


def exif(orientation, order="<", kind=3, count=1, before=2):
    """The EXIF data of a camera, with entries before that of the orientation."""
    entries = [struct.pack(f"{order}HHI", 0x100 + n, 3, 1) + bytes(4) for n in range(before)]
    value = struct.pack(f"{order}H" if kind == 3 else f"{order}I", orientation).ljust(4, b"\0")
    entries.append(struct.pack(f"{order}HHI", 0x112, kind, count) + value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return (
        b"Exif\0\0" + head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    )


def encoded(form="JPEG", **options):
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def decode():
    import tensorflow as tf

    spec = tf.TensorSpec((), tf.string)
    return tf.function(lambda x: decode_image_in_graph(x, 10_000), input_signature=[spec])


@pytest.fixture(scope="module")
def orientation():
    import tensorflow as tf

    spec = tf.TensorSpec((), tf.string)
    read = tf.function(orientation_in_graph, input_signature=[spec])
    return lambda content: int(read(content))


def test_all_orientations_are_those_of_pillow_and_of_python(decode, tmp_path):
    for order in "<>":
        for number in range(1, 9):
            for form in ("JPEG", "PNG"):
                content = encoded(form, exif=exif(number, order, kind=3 + number % 2))
                image = PIL.Image.open(io.BytesIO(content))
                upright = PIL.ImageOps.exif_transpose(image).convert("RGB")
                received = decode(content).numpy()
                assert received.shape == np.asarray(upright).shape, (number, order, form)
                path = pathlib.Path(tmp_path, "image")
                path.write_bytes(content)
                np.testing.assert_array_equal(received, decode_image(path))
                if form == "PNG":
                    np.testing.assert_array_equal(received, np.asarray(upright))


def test_damaged_exif_is_no_orientation(orientation):
    good = exif(6)
    assert orientation(encoded(exif=good)) == 6
    assert orientation(encoded(exif=good + bytes(50))) == 6
    for cut in range(6, 6 + 8 + 2 + 2 * 12 + 10):
        assert orientation(encoded(exif=good[:cut])) == 1, cut
    damaged = [
        exif(0),
        exif(9),
        exif(6, count=2),
        exif(6, kind=7),
        b"Exif\0\0" + b"II*\0" + struct.pack("<I", 2**32 - 1) + bytes(20),
        b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(20),
        b"Exif\0\0" + b"XX*\0" + good[10:],
        b"Exif\0\0",
    ]
    for data in damaged:
        assert orientation(encoded(exif=data)) == 1, data
    content = encoded(exif=good)
    for cut in (0, 1, 3, 10, 20, 30):
        assert orientation(content[:cut]) == 1
    # Bytes between segments, and the prefix of JPEG in a chunk of PNG.
    assert orientation(content[:2] + bytes(5) + content[2:]) == 6
    raw = good[6:]
    for chunk in (raw, good):
        data = b"eXIf" + chunk
        header = struct.pack(">I4s", 13, b"IHDR") + bytes(17)
        png = b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", len(chunk)) + data + bytes(4)
        assert orientation(png) == 6
    # A segment before that of EXIF, as of JFIF, and one that claims to be longer than the file.
    assert orientation(b"\xff\xd8\xff\xfe\0\x06abcd" + content[2:]) == 6
    assert orientation(b"\xff\xd8\xff\xe1\xff\xffExif\0\0" + good[6:16]) == 1


def test_what_is_no_image_is_refused(decode):
    import tensorflow as tf

    whole = encoded("PNG")
    large = io.BytesIO()
    PIL.Image.new("RGB", (200, 51)).save(large, "PNG")
    wrong = {
        b"": "neither JPEG nor PNG",
        b"text": "neither JPEG nor PNG",
        b"GIF89a" + bytes(40): "neither JPEG nor PNG",
        whole[:60]: ".",
        encoded()[:200]: ".",
        large.getvalue(): "at most 10,000 pixels",
        # A chunk before the header, where the limit on pixels would read a small size.
        whole[:8] + struct.pack(">I4sIII", 8, b"zzZz", 1, 1, 0) + whole[8:]: "neither JPEG nor PNG",
    }
    for content, message in wrong.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decode(content)


def test_a_saved_model_answers_files_as_python_does(tmp_path):
    import tensorflow as tf

    names = datasets.describe_dataset("shapes").label_names
    model = from_architecture("small_attention_cnn", names, filters=(4, 8))
    contents = [encoded("PNG"), encoded(exif=exif(6, ">")), encoded("PNG", exif=exif(5))]
    paths = [tmp_path / f"{number}.image" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    serve = tf.saved_model.load(str(model.export(tmp_path / "model"))).signatures["bytes"]
    assert list(serve.structured_input_signature[1]) == ["image_bytes"]  # for {"b64": ...}
    answers = serve(image_bytes=tf.constant(contents))
    expected = [list(each.probabilities.values()) for each in model.classify(paths)]
    np.testing.assert_allclose(answers["probabilities"].numpy(), expected, atol=1e-5)
    assert serve(image_bytes=tf.constant([], tf.string))["probabilities"].shape == (0, 4)
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([contents[0], contents[0][:60]]))
