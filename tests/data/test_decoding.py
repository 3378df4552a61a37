"""Odd pictures: what decodes is used as a viewer shows it, and the reason is told where nothing does."""

import io
import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sidetrip.data.decoding import UnreadableError, decode

SIDE = 8
UPRIGHT = np.zeros((SIDE, SIDE, 3), np.uint8)
UPRIGHT[: SIDE // 2] = 255  # bright above
GREY = UPRIGHT[..., 0]
RIGHT = np.rot90(UPRIGHT, -1)  # as orientation 6 shows it: bright at the right


def encoded(format: str, pixels: np.ndarray | Image.Image = UPRIGHT, **options) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def shown(tmp_path):
    """The pixels of a file of these bytes."""

    def show(content: bytes, side: int = SIDE) -> np.ndarray:
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        return decode(path, side)[0].astype(int)

    return show


def differ(found: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(found - expected.astype(int)).max())


def pixels_of(draw_seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(draw_seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9))
def test_the_central_square_is_taken_and_not_changed(seed, left, right):
    pixels = pixels_of(seed, SIDE, SIDE + left + right)
    begin = (left + right) // 2
    expected = pixels[:, begin : begin + SIDE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        for turned in ((0, 1, 2), (1, 0, 2)):
            Image.fromarray(np.ascontiguousarray(pixels.transpose(turned))).save(path)
            assert np.array_equal(decode(path, SIDE)[0], expected.transpose(turned))


def test_a_whole_number_of_pixels_becomes_its_mean(shown):
    pixels = pixels_of(0, 3 * SIDE, 3 * SIDE)
    means = pixels.reshape(SIDE, 3, SIDE, 3, 3).mean(axis=(1, 3))
    assert np.abs(shown(encoded("PNG", pixels)) - means).max() <= 1


# Metadata


def exif(*entries: tuple[int, int, int, bytes], further: bytes = b"") -> bytes:
    """EXIF of entries (tag, type, count, four bytes)."""
    rows = (struct.pack("<HHL", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + b"".join(rows) + bytes(4) + further


TURNED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
NOTES = {
    "plain": (exif(TURNED), RIGHT),
    "beside -1/0": (exif(TURNED, (0x011A, 10, 1, struct.pack("<L", 38)), further=struct.pack("<ll", -1, 0)), RIGHT),
    "garbage": (b"\xff" * 60, UPRIGHT),
}


@pytest.mark.parametrize("note", NOTES)
def test_a_picture_is_turned_whatever_else_its_metadata_say_and_not_by_what_says_nothing(shown, note):
    block, expected = NOTES[note]
    assert differ(shown(encoded("JPEG", quality=95, exif=b"Exif\0\0" + block)), expected) < 8


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_once_in_every_format(shown, format):
    turned = Image.Exif()
    turned[0x0112] = 6
    assert differ(shown(encoded(format, exif=turned, lossless=True)), RIGHT) == 0


def chunk(name: bytes, body: bytes, damage: int = 0) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body) ^ damage)


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"tEXt", b"a\0b", damage=1),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3_000_000)), damage=1),
        chunk(b"pHYs", b"a"),
    ],
    ids=["checksum", "profile", "size"],
)
def test_what_is_wrong_beside_the_pixels_of_a_png(shown, odd):
    whole, head = encoded("PNG"), 33  # signature and first chunk
    end = whole.index(b"IEND") - 4
    turned = chunk(b"eXIf", exif(TURNED))  # as macOS writes it, after the pixels
    assert differ(shown(whole[:head] + odd + whole[head:]), UPRIGHT) == 0
    assert differ(shown(whole[:head] + odd + whole[head:end] + turned + whole[end:]), RIGHT) == 0


# Kinds of pixels


def other(format: str, mode: str) -> bytes:
    return encoded(format, Image.fromarray(UPRIGHT).convert(mode))


def grey(dtype: type, white: float) -> bytes:
    return encoded("TIFF", (GREY / 255 * white).astype(dtype))


def negative(pixels: np.ndarray) -> bytes:
    content = bytearray(encoded("TIFF", pixels))
    content[content.index(struct.pack("<HHLH", 262, 3, 1, 1)) + 8] = 0  # white is zero
    return bytes(content)


def several(format: str, **options) -> bytes:
    """A file of several pictures, of which the first is taken."""
    return encoded(format, save_all=True, append_images=[Image.fromarray(255 - UPRIGHT)], **options)


WIDE = GREY.astype(np.uint16) * 257
KINDS = {
    "CMYK": other("JPEG", "CMYK"),
    "grey JPEG": other("JPEG", "L"),
    "YCbCr": other("TIFF", "YCbCr"),
    "one bit": other("TIFF", "1"),
    "BMP palette": other("BMP", "P"),
    "GIF": other("GIF", "RGB"),
    "16-bit PNG": encoded("PNG", WIDE),
    "16-bit PGM": b"P5 8 8 65535\n" + WIDE.astype(">u2").tobytes(),
    "text PPM": b"P3 8 8 255\n" + b" ".join(b"%d" % level for level in UPRIGHT.ravel()),
    "fractions": grey(np.float32, 1.0),
    "floats": grey(np.float32, 255.0),
    "32 bits of 8": grey(np.int32, 255),
    "32 bits of 16": grey(np.int32, 65535),
    "16-bit TIFF": grey(np.uint16, 65535),
    "not a number": encoded("TIFF", np.where(GREY, 1.0, np.nan).astype(np.float32)),
    "negative of 8 bits": negative(255 - GREY),
    "negative of 16 bits": negative(65535 - WIDE),
    **{f"several {format}": several(format) for format in ("GIF", "PNG", "TIFF")},
    "several WEBP": several("WEBP", lossless=True),
    "several MPO": several("MPO", quality=95),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pixels_is_shown_in_rgb(shown, kind):
    assert differ(shown(KINDS[kind]), UPRIGHT) < 8


def test_of_sixteen_bits_the_upper_eight_are_taken(shown):
    levels = np.arange(64, dtype=np.uint16).reshape(SIDE, SIDE) * 1024 + 7
    assert np.array_equal(shown(encoded("PNG", levels))[..., 1], levels >> 8)


@pytest.mark.parametrize(("brightest", "told"), [(4095, True), (4096, False), (0, False)])
def test_twelve_bits_in_sixteen_are_told(tmp_path, brightest, told):
    (tmp_path / "x.png").write_bytes(encoded("PNG", np.full((SIDE, SIDE), brightest, np.uint16)))
    assert ("multiply" in decode(tmp_path / "x.png", SIDE)[1]) == told


def test_a_bitmap_whose_fourth_byte_is_unused(shown):
    pixels = np.dstack([UPRIGHT[::-1, :, ::-1], np.zeros_like(GREY)]).tobytes()
    # 32 bits a pixel, with a mask for the fourth byte.
    header = struct.pack("<IiiHHIIiiII", 108, SIDE, SIDE, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    content = bytearray(b"BM" + struct.pack("<IHHI", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)))
    content += header + pixels
    assert np.array_equal(shown(bytes(content)), UPRIGHT)
    content[-1] = 255  # the last pixel of the uppermost line: now the byte is used, and the rest is transparent
    assert np.argwhere(shown(bytes(content)).any(axis=2)).tolist() == [[0, SIDE - 1]]


@pytest.mark.parametrize(
    ("pixels", "clear"),
    [(GREY, 255), (UPRIGHT, (255, 255, 255)), (GREY.astype(np.uint16) * 257, 65535)],
    ids=["grey", "colour", "16 bits"],
)
def test_a_transparent_colour_is_black(shown, pixels, clear):
    assert shown(encoded("PNG", pixels, transparency=clear)).max() == 0


@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("GIF", "RGBA")])
def test_transparent_parts_are_black(shown, format, mode):
    pixels = np.full((SIDE, SIDE, 4), 200, np.uint8)
    pixels[..., 3] = UPRIGHT[..., 0]
    picture = Image.fromarray(pixels)
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    assert np.array_equal(shown(encoded(format, picture)), UPRIGHT // 255 * 200)


# What is not read


def test_pixels_up_to_the_limit_of_pillow_are_read_and_no_more(shown):
    assert np.all(shown(encoded("JPEG", Image.new("L", (12_000, 8_000), "white"))) == 255)
    head = chunk(b"IHDR", struct.pack(">LL5B", 23_000, 23_000, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    with pytest.raises(UnreadableError, match=r"more than 179 million pixels; shrink it"):
        shown(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>404 Not Found</html>", "not a picture, or damaged"),
        (encoded("EPS"), "not a picture, or damaged"),  # which Pillow would hand to Ghostscript, whatever its name
        (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "run `git lfs pull`"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "convert it"),
    ],
)
def test_why_a_file_cannot_be_read(shown, content, reason):
    with pytest.raises(UnreadableError, match=reason):
        shown(content)


def test_what_is_no_file_cannot_be_read(tmp_path):
    (tmp_path / "link.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (("link.png", "no such file"), ("pipe.png", "no regular file")):
        with pytest.raises(UnreadableError, match=reason):
            decode(tmp_path / name, SIDE)


@pytest.mark.parametrize("end", [0.5, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_truncated_file_cannot_be_read(shown, format, end):
    content = encoded(format, pixels_of(0, 64, 64))
    shown(content)
    with pytest.raises(UnreadableError, match="damaged: image file is truncated"):
        shown(content[: int(end * len(content))])


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xe0"]))
def test_bytes_that_are_no_picture_never_raise_anything_else(content, head):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        path.write_bytes(head + content)
        with pytest.raises(UnreadableError):
            decode(path, 8)
