"""Image files: their orientation, size and format."""

import re
import struct
import zlib

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets.files import _image_headers

PIL = pytest.importorskip("PIL.Image")
ORIENTATION = 0x0112
PIXELS = np.kron(np.random.default_rng(0).integers(0, 256, (3, 5, 3)), np.ones((16, 16, 1))).astype(
    "uint8"
)
IMAGE = PIL.fromarray(PIXELS)


def oracle(path):
    """The upright pixels, as Pillow reads them."""
    from PIL import ImageOps

    with PIL.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def exif(orientation, order="<"):
    data = PIL.Exif()
    data.endian = order
    data[0x010F] = "Maker"  # the orientation is not the first tag
    data[ORIENTATION] = orientation
    return data


def xmp(orientation):
    return f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()


def png_chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def with_png_chunk(path, kind, data, before=b"IDAT"):
    content = path.read_bytes()
    position = content.index(before) - 4
    path.write_bytes(content[:position] + png_chunk(kind, data) + content[position:])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_images_are_turned_as_their_exif_orientation_says(tmp_path, suffix, orientation, order):
    path = tmp_path / f"photo.{suffix}"
    options = {"quality": 95} if suffix == "jpg" else {"lossless": True}
    IMAGE.save(path, exif=exif(orientation, order), **options)
    image = datasets.decode_image(path)
    expected = oracle(path)
    assert image.shape == expected.shape
    # Two decoders of JPEG round differently.
    np.testing.assert_allclose(image, expected, atol=8 if suffix == "jpg" else 0)
    assert (image.shape == PIXELS.shape) == (orientation < 5)


@pytest.mark.parametrize("orientation", [0, 6, 8, 9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_orientation_may_be_in_xmp(tmp_path, suffix, orientation):
    path = tmp_path / f"photo.{suffix}"
    if suffix == "png":
        IMAGE.save(path)
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(orientation)
        with_png_chunk(path, b"iTXt", text)
    else:
        IMAGE.save(path, xmp=xmp(orientation), lossless=True)
    np.testing.assert_allclose(datasets.decode_image(path), oracle(path), atol=8)


def test_exif_comes_before_xmp(tmp_path):
    IMAGE.save(tmp_path / "photo.jpg", xmp=xmp(3), exif=exif(6))
    assert (
        datasets.decode_image(tmp_path / "photo.jpg").shape == oracle(tmp_path / "photo.jpg").shape
    )


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"eXIf"])
def test_exif_of_png_may_be_text_or_behind_the_pixels(tmp_path, kind):
    path = tmp_path / "photo.png"
    IMAGE.save(path)
    data = exif(6).tobytes()
    if kind != b"eXIf":
        text = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()
        text = b"\0" + zlib.compress(text) if kind == b"zTXt" else text
        data = b"Raw profile type exif\0" + text
    else:
        data = data.removeprefix(b"Exif\0\0")
    with_png_chunk(path, kind, data, before=b"IEND")
    np.testing.assert_array_equal(datasets.decode_image(path), oracle(path))
    assert datasets.decode_image(path).shape != PIXELS.shape


@pytest.mark.parametrize(
    "value", [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0zz"]
)
def test_damaged_exif_does_not_hide_the_pixels(tmp_path, value):
    IMAGE.save(tmp_path / "photo.png")
    with_png_chunk(tmp_path / "photo.png", b"eXIf", value)
    np.testing.assert_array_equal(datasets.decode_image(tmp_path / "photo.png"), PIXELS)


def save_as(mode):
    return lambda path: IMAGE.convert(mode).save(path)


def save_animation(path):
    frames = [PIL.fromarray(255 - PIXELS).quantize(16)] * 40
    IMAGE.quantize(16).save(path, save_all=True, append_images=frames)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        *[(f"{mode}.png", save_as(mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        *[(f"{mode}.jpg", save_as(mode)) for mode in ("L", "CMYK")],
        *[(f"{mode}.bmp", save_as(mode)) for mode in ("L", "RGB", "RGBA")],
        ("progressive.jpg", lambda path: IMAGE.save(path, progressive=True)),
        ("L.gif", save_as("L")),
        ("animated.gif", save_animation),
        ("animated.png", save_animation),
        ("RGB.webp", lambda path: IMAGE.save(path, lossless=True)),
        ("lossy.webp", IMAGE.save),
        (
            "RGBA.webp",
            lambda path: PIL.fromarray(np.dstack([PIXELS, PIXELS[..., 0] | 1])).save(
                path, lossless=True
            ),
        ),
        ("palette.bmp", lambda path: IMAGE.quantize(16).save(path)),
        ("1.bmp", save_as("1")),
    ],
)
def test_every_kind_of_image_is_read_right_or_refused(tmp_path, name, save):
    save(tmp_path / name)
    if name in ("palette.bmp", "1.bmp"):
        with pytest.raises(ValueError, match=r"BMP .*convert it, for example to PNG\. Accepted"):
            datasets.decode_image(tmp_path / name)
        return
    image = datasets.decode_image(tmp_path / name)
    np.testing.assert_allclose(image, oracle(tmp_path / name), atol=8 if "jpg" in name else 0)


def test_only_the_first_frame_of_a_gif_is_decoded(tmp_path, monkeypatch):
    """TensorFlow decodes every frame that it receives, to return the first."""
    import tensorflow as tf

    lengths, decode = [], tf.io.decode_image

    def recorded(content, **options):
        lengths.append(len(content))
        return decode(content, **options)

    monkeypatch.setattr(tf.io, "decode_image", recorded)
    path = tmp_path / "animated.gif"
    save_animation(path)
    np.testing.assert_array_equal(datasets.decode_image(path), oracle(path))
    IMAGE.quantize(16).save(tmp_path / "still.gif")
    datasets.decode_image(tmp_path / "still.gif")
    assert lengths[0] <= lengths[1] < path.stat().st_size


def test_16_bits_are_reduced_to_the_upper_8(tmp_path):
    gray = PIXELS[..., 0]
    PIL.fromarray(gray.astype("uint16") * 256 + 77).save(tmp_path / "gray.png")
    image = datasets.decode_image(tmp_path / "gray.png")
    np.testing.assert_array_equal(image, np.repeat(gray[..., None], 3, axis=-1))


@pytest.mark.parametrize("suffix", ["tiff", "avif", "ico", "ppm", "webp"])
def test_other_formats_are_named_and_refused(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    other = PIL.fromarray(255 - PIXELS)
    options = {"save_all": True, "append_images": [other]} if suffix == "webp" else {}
    try:
        IMAGE.save(path, **options)
    except (KeyError, OSError):
        pytest.skip(f"Pillow cannot write {suffix}")
    names = {"webp": "an animated WebP", "ico": "icon", "ppm": "no known image format"}
    expected = names.get(suffix, suffix.upper())
    with pytest.raises(ValueError, match=rf"{expected}.*Accepted: PNG, JPEG, GIF"):
        datasets.decode_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
def test_every_beginning_of_a_file_is_refused_with_its_name(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    IMAGE.save(path)
    content = path.read_bytes()
    for length in {0, 1, 2, 3, 8, 12, 13, 20, 29, 40, 60, len(content) // 2}:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"image\.{suffix}' is not an image.*Accepted: PNG"):
            datasets.decode_image(path)


def test_messages_of_tensorflow_are_cleaned(tmp_path):
    IMAGE.save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    (tmp_path / "image.png").write_bytes(content[:-80])
    with pytest.raises(ValueError, match=r"TensorFlow says: Invalid PNG data") as raised:
        datasets.decode_image(tmp_path / "image.png")
    assert not re.search("function_node|Op:|\n", str(raised.value))


def bomb(side):
    """A PNG of one color, which is a thousandth of its decoded size."""
    rows = zlib.compress(bytes((3 * side + 1) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def test_a_small_file_of_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(
        bomb(1000).replace(struct.pack(">II", 1000, 1000), struct.pack(">II", 13_000, 13_000))
    )
    monkeypatch.setattr(
        "keras_attn.datasets.files.images._decode", lambda *_: pytest.fail("decoded")
    )
    with pytest.raises(
        ValueError, match=r"13000 x 13000 = 169,000,000 pixels.*max_pixels=169000000"
    ):
        datasets.decode_image(path)
    monkeypatch.undo()
    path.write_bytes(bomb(200))
    with pytest.raises(ValueError, match="the limit of 39,999"):
        datasets.decode_image(path, max_pixels=39_999)
    assert datasets.decode_image(path, max_pixels=40_000).shape == (200, 200, 3)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"`max_pixels` must be an integer of at least 1"):
            datasets.decode_image(path, max_pixels=wrong)


def test_the_sizes_of_headers_are_those_of_the_images(tmp_path):
    for suffix in ("png", "jpg", "gif", "bmp", "webp"):
        IMAGE.save(tmp_path / f"image.{suffix}")
        header = _image_headers.read_header((tmp_path / f"image.{suffix}").read_bytes())
        assert (header.height, header.width) == PIXELS.shape[:2]


@pytest.mark.slow
def test_random_bytes_are_refused_or_read_and_never_end_the_process(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "image"
    contents = []
    for suffix in ("png", "jpg", "gif", "bmp", "webp"):
        IMAGE.save(tmp_path / f"image.{suffix}", exif=exif(6))
        contents.append((tmp_path / f"image.{suffix}").read_bytes())
    read = 0
    for index in range(3_000):
        content = bytearray(contents[index % len(contents)])
        for position in random.integers(0, min(len(content), 400), random.integers(1, 12)):
            content[position] = random.integers(256)
        path.write_bytes(
            content[: random.integers(len(content) + 1)] if index % 7 == 0 else content
        )
        try:
            image = datasets.decode_image(path, max_pixels=10**6)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3 and image.shape[-1] == 3
            read += 1
    assert 300 < read < 2_900
