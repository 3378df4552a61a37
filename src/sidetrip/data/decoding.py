"""A picture file as square RGB pixels, or why it cannot be read.

Whatever is wrong with its metadata, pixels that decode are used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from sidetrip.config import shown

CHANNELS = 3
MOST_PIXELS = 2**29  # of one file: 2 GiB, as Pillow holds them
LARGE = 2**25  # pixels from which on a JPEG file is decoded no larger than needed
LARGEST_RATIO = 256  # of sides, up to which what Pillow does in two steps, which is faster, is as exact as in one
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation
LFS_POINTER = b"version https://git-lfs."
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
TIFF: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
TIFF_RESOLUTION, TIFF_UNUSED = (282, 283, 296), 65535  # tags
# What is kept of a file whose metadata stop Pillow, at one attempt after another; whatever makes the pixels is kept.
PNG_KEPT: tuple[set[bytes], ...] = ({b"tRNS", b"eXIf"}, {b"tRNS"}, {b"eXIf"}, set())
JPEG_KEPT = ({0xE1, 0xEE}, {0xE1})  # EXIF, and Adobe's note of the kind of colours

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit of 179 million gives way to MOST_PIXELS


class UnreadableError(ValueError):
    """A picture that cannot be read; the message says why."""


def decode(path: Path, size: int) -> np.ndarray:
    """Pixels uint8 [size, size, 3] of the central square.

    Raises
    ------
    UnreadableError
        If the file is no picture, or damaged, or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd in metadata
        picture = _read(path, size)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    if picture.size != (size, size):
        picture = picture.resize(
            (size, size),
            Image.Resampling.BOX if side % size == 0 else Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
            reducing_gap=3.0 if side < LARGEST_RATIO * size else None,
        )
    return np.asarray(picture)


def _read(path: Path, size: int) -> Image.Image:
    """A file's picture in RGB, turned as it is shown."""
    try:
        return _opened(path, size)
    except UnreadableError:
        raise
    except Exception as error:  # on damaged files Pillow raises whatever its decoders happen to meet
        first = error
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    for bare in _without_metadata(content):
        try:
            return _opened(BytesIO(bare), size)
        except Exception:  # the first error tells most
            continue
    raise UnreadableError(_reason(first, content)) from first


def _reason(error: Exception, content: bytes) -> str:
    if not content:
        return "empty"
    if content.startswith(LFS_POINTER):
        return "a pointer of Git LFS, not the picture: run `git lfs pull`"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or damaged"
    if isinstance(error, MemoryError):
        return "more pixels than fit into memory"
    return f"damaged: {shown(error)}" if str(error) else "damaged"


def _opened(source: Path | BytesIO, size: int) -> Image.Image:
    with Image.open(source) as file:
        pixels = file.width * file.height
        if pixels > MOST_PIXELS:
            raise _too_large(pixels)
        if pixels > LARGE:
            file.draft(None, (4 * size, 4 * size))
        file.load()
        turn = _turn(file)
        picture = to_rgb(file)
    return picture if turn is None else picture.transpose(turn)


def _too_large(pixels: int) -> UnreadableError:
    limit = f"MOST_PIXELS = {MOST_PIXELS} of src/sidetrip/data/decoding.py"
    return UnreadableError(f"{pixels / 1e6:.0f} million pixels, more than {limit}; shrink it")


def _turn(file: Image.Image) -> Image.Transpose | None:
    """What the EXIF orientation asks for, if it can be made out; all else in there is left alone."""
    try:
        value: Any = file.getexif().get(ExifTags.Base.Orientation)
        return TURNED.get(value[0] if isinstance(value, tuple | bytes) else value)
    except Exception:  # whatever stands in a file that others wrote
        return None


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture in RGB as a viewer shows it, transparent parts on black."""
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB")
        assert converted is not None  # it is not in place
        return converted
    if picture.format == "BMP" and picture.mode == "RGBA" and not picture.getchannel("A").getbbox():
        return picture.convert("RGB")  # whoever wrote it left the fourth byte at 0, and viewers take it for unused
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """Grey levels of more than 8 bits as uint8. Pillow's own conversion would clip them.

    Whole numbers of 16 bits are reduced to the upper 8. What else a file may hold does not say what white is: it is
    the least of 1 (fractions), 255, 65535 and 2^32 - 1 that none exceeds.
    """
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0.0, neginf=0.0)
    values[values == picture.info.get("transparency")] = 0
    if picture.mode.startswith("I;16") or picture.format in ("PNG", "PPM"):
        levels = np.clip(values, 0, 65535) // 256
    else:
        scales = (1.0,) if picture.mode == "F" else ()
        white = next((scale for scale in (*scales, 255.0, 65535.0) if values.max() <= scale), 2.0**32 - 1)
        levels = np.clip(np.rint(values * (255.0 / white)), 0, 255)
    negative = getattr(picture, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return (255 - levels if negative else levels).astype(np.uint8)


def _without_metadata(content: bytes) -> Iterator[bytes]:
    """The same picture in files of less and less but its pixels, since Pillow gives up at some faults in the rest."""
    if content.startswith(PNG):
        yield from (PNG + b"".join(_png_chunks(content, kept)) for kept in PNG_KEPT)
    if content.startswith(tuple(TIFF)):
        yield _tiff_without_resolution(content)
    if content.startswith(JPEG):
        yield from (JPEG + b"".join(_jpeg_segments(content, kept)) for kept in JPEG_KEPT)


def _png_chunks(content: bytes, kept: set[bytes]) -> Iterator[bytes]:
    """The chunks that pixels need, whose names begin with a capital, and those kept."""
    at = len(PNG)
    while at + 8 <= len(content):
        name, end = content[at + 4 : at + 8], at + 12 + int.from_bytes(content[at : at + 4])
        if name[:1].isupper() or name in kept:
            yield content[at:end]
        at = end


def _tiff_without_resolution(content: bytes) -> bytes:
    """The file with other numbers on the tags of its first picture that Pillow makes its resolution of."""
    order, changed = TIFF[content[:4]], bytearray(content)
    first = int.from_bytes(content[4:8], order)
    for entry in range(int.from_bytes(content[first : first + 2], order)):
        at = first + 2 + 12 * entry
        if int.from_bytes(content[at : at + 2], order) in TIFF_RESOLUTION:
            changed[at : at + 2] = TIFF_UNUSED.to_bytes(2, order)
    return bytes(changed)


def _jpeg_segments(content: bytes, kept: set[int]) -> Iterator[bytes]:
    """All from the start of the pixels on, and before it all but comments and applications' notes that are not kept."""
    at = len(JPEG)
    while at + 4 <= len(content) and content[at] == 0xFF and (marker := content[at + 1]) != 0xDA:
        end = at + 1 if marker == 0xFF else at + 2 + int.from_bytes(content[at + 2 : at + 4])
        note = 0xE0 <= marker <= 0xEF or marker in (0xFE, 0xFF)
        if not note or marker in kept:
            yield content[at:end]
        at = end
    yield content[at:]
