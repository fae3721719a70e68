"""Size and orientation of an image, read from the header of its file.

The size is needed before decoding, because a small file can hold an image that does not fit into
memory. The orientation is metadata: a camera stores the pixels as its sensor lies, and says how to
turn them. Decoders ignore it.
"""

import dataclasses
import re
import struct
import zlib
from collections.abc import Iterator

ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4  # of the TIFF structure that EXIF data is
MAX_METADATA = 2**20  # bytes of decompressed metadata
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_KEYWORD, EXIF_KEYWORD = b"XML:com.adobe.xmp", b"Raw profile type exif"  # text chunks of PNG
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG: SOF0 to SOF15
MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # JPEG: TEM, RST0 to RST7, SOI

# Formats that are recognized in order to name them in an error.
OTHER_FORMATS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"\0\0\1\0": "icon",
    b"<svg": "SVG",
}
FILE_TYPES = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}


class HeaderError(ValueError):
    """The header of an image cannot be read, or says that the image is not supported."""


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """Format, size and orientation from the header of an image file.

    Attributes:
        format: `"PNG"`, `"JPEG"`, `"GIF"`, `"BMP"` or `"WebP"`.
        width: Width of the stored image in pixels.
        height: Height of the stored image in pixels.
        orientation: EXIF orientation from 1 to 8; 1 if the file states none.
        end: End of the first frame of a GIF, in bytes from the start; 0 for other formats.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    end: int = 0


def read_header(content: bytes) -> ImageHeader:
    """Return the header of an image file.

    Raises:
        HeaderError: The format is not supported, or the header is damaged.
    """
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return _read_png(content)
        if content.startswith(b"\xff\xd8\xff"):
            return _read_jpeg(content)
        if content.startswith((b"GIF87a", b"GIF89a")):
            return _read_gif(content)
        if content.startswith(b"BM"):
            return _read_bmp(content)
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _read_webp(content)
    except (struct.error, IndexError) as error:
        raise HeaderError("The file is damaged: its header is incomplete.") from error
    if not content:
        raise HeaderError("The file is empty.")
    other = [name for magic, name in OTHER_FORMATS.items() if content.startswith(magic)]
    if content[4:8] == b"ftyp":
        other.append(FILE_TYPES.get(content[8:12], "video"))
    if other:
        raise HeaderError(f"It is {other[0]}: convert it, for example to PNG.")
    raise HeaderError("Its first bytes are those of no known image format.")


def _read_png(content: bytes) -> ImageHeader:
    (width, height) = struct.unpack_from(">II", content, 16)
    exif = xmp = profile = b""
    for kind, chunk in _png_chunks(content):
        if kind == b"eXIf":
            exif = exif or chunk
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and chunk.startswith((XMP_KEYWORD, EXIF_KEYWORD)):
            keyword, _, text = chunk.partition(b"\0")
            text = _png_text(kind, text)
            if keyword == XMP_KEYWORD:
                xmp = text
            elif keyword == EXIF_KEYWORD:
                profile = _from_hex(b"".join(text.split(b"\n")[3:]))
    return ImageHeader("PNG", width, height, _orientation(exif or profile, xmp))


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        # Pixels are not copied.
        yield kind, b"" if kind == b"IDAT" else content[position + 8 : position + 8 + length]
        position += length + 12


def _png_text(kind: bytes, text: bytes) -> bytes:
    """Return the text of a text chunk, from what follows its keyword."""
    compressed = kind == b"zTXt"
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]  # behind compression, language, translated keyword
    elif compressed:
        text = text[1:]
    if not compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, MAX_METADATA)
    except zlib.error:
        return b""


def _read_jpeg(content: bytes) -> ImageHeader:
    size: tuple[int, int] | None = None
    exif = xmp = b""
    for marker, segment in _jpeg_segments(content):
        if marker in FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", segment, 1)
            size = size or (width, height)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif = exif or segment
        elif marker == 0xE1 and segment.startswith(XMP):
            xmp = xmp or segment
    if size is None:
        raise HeaderError("The file is damaged: it has no frame header.")
    return ImageHeader("JPEG", *size, _orientation(exif, xmp))


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment before the pixels."""
    position = 2
    while position < len(content):
        if content[position] != 0xFF:  # bytes between segments, which decoders skip
            position += 1
            continue
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in (0xD9, 0xDA):  # end of the image, start of the pixels
            return
        elif marker in MARKERS_WITHOUT_LENGTH or marker == 0:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", content, position + 2)
            yield marker, content[position + 4 : position + 2 + length]
            position += 2 + length


def _read_gif(content: bytes) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    position = 13 + _color_table(flags)
    while content[position] == 0x21:  # extensions, such as the duration of a frame
        position = _skip_blocks(content, position + 2)
    if content[position] != 0x2C:
        raise HeaderError("The file is damaged: it has no image.")
    frame_width, frame_height, flags = struct.unpack_from("<HHB", content, position + 5)
    end = _skip_blocks(content, position + 11 + _color_table(flags))
    return ImageHeader("GIF", max(width, frame_width), max(height, frame_height), end=end)


def _color_table(flags: int) -> int:
    """Return the number of bytes of a GIF's color table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(content: bytes, position: int) -> int:
    """Return the position behind a series of data blocks of a GIF."""
    while content[position]:
        position += content[position] + 1
    return position + 1


def _read_bmp(content: bytes) -> ImageHeader:
    offset, header_size, width, height = struct.unpack_from("<IIii", content, 10)
    bits, compression = struct.unpack_from("<HI", content, 28)
    if header_size < 40 or bits not in (8, 24, 32) or compression not in (0, 3):
        raise HeaderError(
            f"It is a BMP of {bits} bits with compression {compression}: convert it, for example "
            "to PNG."
        )
    # TensorFlow takes the indices of a palette for shades of gray, whatever their colors, and
    # the channels of other masks for blue, green and red.
    grays = bytes(value for shade in range(256) for value in (shade, shade, shade, 0))
    if bits == 8 and content[14 + header_size : offset] != grays:
        raise HeaderError("It is a BMP with a palette: convert it, for example to PNG.")
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    if compression == 3 and (bits != 32 or content[54:66] != masks):
        raise HeaderError("It is a BMP with color masks: convert it, for example to PNG.")
    return ImageHeader("BMP", abs(width), abs(height))


def _read_webp(content: bytes) -> ImageHeader:
    size: tuple[int, int] | None = None
    exif = xmp = b""
    position = 12
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        start = position + 8
        if kind == b"VP8X":
            if content[start] & 2:
                raise HeaderError("It is an animated WebP: save one frame of it, as PNG.")
            width, height = (
                int.from_bytes(content[at : at + 3], "little") + 1 for at in (start + 4, start + 7)
            )
            size = width, height
        elif kind == b"VP8 " and size is None:
            width, height = struct.unpack_from("<HH", content, start + 6)
            size = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", content, start + 1)
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF":
            exif = exif or content[start : start + length]
        elif kind == b"XMP ":
            xmp = xmp or content[start : start + length]
        position = start + length + length % 2
    if size is None:
        raise HeaderError("The file is damaged: it has no image.")
    return ImageHeader("WebP", *size, _orientation(exif, xmp))


def _orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation that EXIF data states, or else XMP; 1 where there is none."""
    orientation = _exif_orientation(exif)
    if orientation is None:
        found = re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp)
        orientation = int(found[1]) if found else 1
    return orientation if orientation in range(1, 9) else 1


def _exif_orientation(exif: bytes) -> int | None:
    """Return the orientation tag in the first directory of EXIF data, a TIFF structure."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for index in range(count):
            entry = offset + 2 + 12 * index
            tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, entry)
            if tag == ORIENTATION_TAG and values == 1 and kind in (SHORT, LONG):
                code = "H" if kind == SHORT else "I"
                return int(struct.unpack_from(f"{order}{code}", tiff, entry + 8)[0])
    except struct.error:  # damaged metadata; the pixels may be intact
        return None
    return None


def _from_hex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""
