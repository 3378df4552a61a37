"""A picture file as square RGB pixels, or why it cannot be read."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from sidetrip.config import shown

CHANNELS = 3
# No others, whatever a file is named: Pillow starts Ghostscript on EPS, for one.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
LARGE = 2**25  # pixels from which on a JPEG file is decoded no larger than needed
LARGEST_RATIO = 256  # of sides, up to which what Pillow does in two steps, which is faster, is as exact as in one
LFS_POINTER = b"version https://git-lfs."
DARK = "16 bits of which the upper 4 are 0, so it comes out nearly black; multiply its values by 16"


class UnreadableError(ValueError):
    """A picture that cannot be read; the message says why."""


def decode(path: Path, size: int) -> tuple[np.ndarray, str]:
    """Central square of a picture, scaled to uint8 [size, size, 3], and what is odd about it, if anything.

    Raises
    ------
    UnreadableError
        If the file is no picture, or damaged, or larger than Pillow's limit.
    """
    if not path.is_file():  # a pipe would be waited for for ever
        raise UnreadableError("no such file" if not path.exists() else "no regular file")
    try:
        picture, remark = _read(path, size)
    except Exception as error:  # on damaged files Pillow raises whatever its decoders happen to meet
        raise UnreadableError(_reason(path, error)) from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    if picture.size != (size, size):
        picture = picture.resize(
            (size, size),
            Image.Resampling.BOX if side % size == 0 else Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
            reducing_gap=3.0 if side < LARGEST_RATIO * size else None,
        )
    return np.asarray(picture), remark


def _read(path: Path, size: int) -> tuple[Image.Image, str]:
    """A file's first picture in RGB, turned as it is shown, and a remark."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd in metadata
        ImageFile.LOAD_TRUNCATED_IMAGES = True  # a wrong checksum beside the pixels is no reason to give up
        try:
            file = Image.open(path, formats=FORMATS)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # pixels have to be whole
        with file:
            if file.width * file.height > LARGE:
                file.draft(None, (4 * size, 4 * size))
            file.load()
            dark = file.mode.startswith("I;16") and 0 < np.asarray(file).max() < 2**12
            with suppress(Exception):  # once turned, Pillow writes the other metadata anew, and may fail at odd ones
                ImageOps.exif_transpose(file, in_place=True)
            return to_rgb(file), DARK if dark else ""


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with path.open("rb") as file:
        head = file.read(len(LFS_POINTER))
    if not head:
        return "empty"
    if head[4:8] == b"ftyp":
        return "HEIC or AVIF, whatever its name says: convert it to JPEG or PNG"
    if head == LFS_POINTER:
        return "a pointer of Git LFS, not the picture: run `git lfs pull`"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or damaged"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels; shrink it"
    return f"damaged: {shown(error)}" if str(error) else "damaged"


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture in RGB as a viewer shows it, transparent parts on black, which is also what moves in at the edges."""
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.format == "BMP" and picture.mode == "RGBA" and not picture.getchannel("A").getbbox():
        return picture.convert("RGB")  # whoever wrote it left the fourth byte at 0, and viewers take it for unused
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """Grey levels of more than 8 bits as uint8: Pillow's own conversion clips them.

    Whole numbers of 16 bits are reduced to the upper 8. What else a file may hold does not say what white is: it is
    the least of 1 (fractions), 255, 65535 and 2^32 - 1 that none exceeds.
    """
    values = np.asarray(picture)
    values = np.where(values == picture.info.get("transparency"), 0, values)
    if picture.mode.startswith("I;16") or picture.format == "PPM":
        levels = values // 256
    else:
        values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
        scales = (1.0,) if picture.mode == "F" else ()
        white = next((scale for scale in (*scales, 255.0, 65535.0) if values.max() <= scale), 2.0**32 - 1)
        levels = np.clip(np.rint(values * (255.0 / white)), 0, 255)
    negative = getattr(picture, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return (255 - levels if negative else levels).astype(np.uint8)
