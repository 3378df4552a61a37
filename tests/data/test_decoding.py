"""Odd pictures and folders: what decodes is used, and whatever is left out is counted and named."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import random_pictures, smoke_config
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from sidetrip.config import ConfigError
from sidetrip.config.paths import as_path, found_path, original_checkout
from sidetrip.data import decoding, folders
from sidetrip.data.account import account, check_not_all_constant, names_table, write_left_out
from sidetrip.data.decoding import UnreadableError, decode
MOST_PIXELS=0
from sidetrip.data.folders import SUFFIXES, check_root, find_splits, shard_files
from sidetrip.data.packed import Pictures, gather_facts, save_shard, shard_path

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
        path = tmp_path / "picture"
        path.write_bytes(content)
        return decode(path, side).pixels.astype(int)

    return show


def differ(found: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(found - expected.astype(int)).max())


# Metadata


def exif(*entries: tuple[int, int, int, bytes], order: str = "<", further: bytes = b"") -> bytes:
    """EXIF of entries (tag, type, count, four bytes)."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}LH", 8, len(entries))
    rows = (struct.pack(f"{order}HHL", *entry[:3]) + entry[3] for entry in entries)
    return head + b"".join(rows) + bytes(4) + further


def short(value: int) -> bytes:
    return struct.pack("<HH", value, 0)


def offset(value: int) -> bytes:
    return struct.pack("<L", value)


TURNED = (0x0112, 3, 1, short(6))
RESOLUTION = 0x011A


def jpeg(*segments: tuple[int, bytes], **options) -> bytes:
    content = encoded("JPEG", quality=95, **options)
    notes = (bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return content[:2] + b"".join(notes) + content[2:]


@pytest.mark.parametrize(
    "block",
    [
        exif(TURNED),
        exif((0x0112, 3, 1, struct.pack(">HH", 6, 0)), order=">"),
        exif((0x0112, 4, 1, offset(6))),
        exif((0x0112, 1, 1, b"\6\0\0\0")),
        exif((0x0112, 3, 2, struct.pack("<HH", 6, 6))),
        exif((0x0112, 5, 1, offset(26)), further=struct.pack("<LL", 6, 1)),
        exif(TURNED, (RESOLUTION, 10, 1, offset(38)), further=struct.pack("<ll", -1, 0)),
        exif(TURNED, (RESOLUTION, 5, 1, offset(38)), further=struct.pack("<LL", 0, 0)),
        exif(TURNED, (RESOLUTION, 2, 4, b"abc\0")),
        exif(TURNED, (RESOLUTION, 5, 1, offset(99_999))),
        exif((0x010F, 2, 5000, offset(99_999)), TURNED),
        exif((0x010F, 77, 5000, offset(99_999)), TURNED),
        exif(TURNED, (0x8769, 4, 1, offset(8))),
        exif(TURNED, (0x8825, 4, 1, offset(99_999))),
        exif(TURNED)[:8] + b"\xff\x01" + exif(TURNED)[10:],
        exif(TURNED, (0x927C, 7, 60_000, offset(38)), further=bytes(60_000)),
        b"Exif\0\0" + exif(TURNED),
    ],
    ids=[
        "plain",
        "big-endian",
        "long",
        "byte",
        "two of them",
        "rational",
        "beside -1/0",
        "beside 0/0",
        "beside text",
        "beside an offset outside",
        "after text outside",
        "after an unknown type",
        "beside a loop",
        "beside a lost GPS block",
        "in too short a list",
        "in 60 kB",
        "with its head twice",
    ],
)
def test_a_picture_is_turned_whatever_else_its_exif_says(shown, block):
    assert differ(shown(jpeg((0xE1, b"Exif\0\0" + block))), RIGHT) < 8


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff" * 60,
        exif(TURNED)[:12],
        exif((0x0112, 3, 1, short(0))),
        exif((0x0112, 3, 1, short(9))),
        exif((0x0112, 2, 2, b"6\0\0\0")),
        exif((0x0112, 5, 1, offset(26)), further=struct.pack("<LL", 6, 0)),
        exif((0x0112, 3, 0, short(6))),
    ],
    ids=["empty", "garbage", "cut off", "0", "9", "text", "a rational 6/0", "none of them"],
)
def test_an_orientation_that_says_nothing_turns_nothing(shown, block):
    assert differ(shown(jpeg((0xE1, b"Exif\0\0" + block))), UPRIGHT) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_every_orientation_in_every_format(shown, format, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    options = {
        "PNG": {"exif": exif((0x0112, 3, 1, short(orientation)))},
        "WEBP": {"exif": b"Exif\0\0" + exif((0x0112, 3, 1, short(orientation))), "lossless": True},
        "TIFF": {"tiffinfo": {0x0112: orientation}},
    }[format]
    # The EXIF standard: where the first row and the first column of what is stored belong.
    expected = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    assert np.array_equal(shown(encoded(format, pixels, **options)), expected)


def chunk(name: bytes, body: bytes, damage: int = 0) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body) ^ damage)


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"tEXt", b"a\0b", damage=1),
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"a\0\0no profile"),
        chunk(b"pHYs", b"a"),
        chunk(b"gAMA", b""),
        chunk(b"tRNS", b"\0"),
        chunk(b"acTL", b"\0"),
        chunk(b"eXIf", b"nonsense", damage=1),
    ],
    ids=["checksum", "a bomb of text", "profile", "size", "gamma", "transparency", "animation", "EXIF"],
)
def test_what_is_wrong_beside_the_pixels_of_a_png(shown, odd):
    whole, head = encoded("PNG"), 33  # signature and first chunk
    assert differ(shown(whole[:head] + odd + whole[head:]), UPRIGHT) == 0
    turned = chunk(b"eXIf", exif(TURNED))
    if b"eXIf" not in odd:
        assert differ(shown(whole[:head] + odd + turned + whole[head:]), RIGHT) == 0


@pytest.mark.parametrize(
    "segment",
    [
        (0xE0, b"JFIF\0\1"),
        (0xE2, b"ICC_PROFILE\0\1"),
        (0xE2, b"MPF\0MM\0*\xff\xff\xff\xff"),
        (0xED, b"Photoshop 3.0\x008BIM\4\4\xff"),
        (0xEE, b"Adobe"),
    ],
    ids=["JFIF", "profile", "further pictures", "Photoshop", "Adobe"],
)
def test_what_is_wrong_beside_the_pixels_of_a_jpeg(shown, segment):
    assert differ(shown(jpeg(segment)), UPRIGHT) < 8
    assert differ(shown(jpeg(segment, (0xE1, b"Exif\0\0" + exif(TURNED)))), RIGHT) < 8


def test_a_text_for_the_resolution_of_a_tiff(shown):
    content = bytearray(encoded("TIFF", dpi=(72, 72)))
    at = content.index(struct.pack("<HHL", 282, 5, 1))
    content[at : at + 12] = struct.pack("<HHL", 282, 2, 4) + b"abc\0"
    at = content.index(struct.pack("<HHL", 296, 3, 1))
    content[at + 8 : at + 10] = b"\3\0"  # centimetres, which Pillow multiplies by
    assert differ(shown(bytes(content)), UPRIGHT) == 0


# Kinds of pixels


def other(format: str, mode: str) -> bytes:
    return encoded(format, Image.fromarray(UPRIGHT).convert(mode))


def grey(dtype: type, white: float) -> bytes:
    return encoded("TIFF", (GREY / 255 * white).astype(dtype))


@pytest.mark.parametrize(
    "content",
    [
        other("JPEG", "CMYK"),
        other("TIFF", "CMYK"),
        other("TIFF", "YCbCr"),
        other("TIFF", "1"),
        other("BMP", "P"),
        other("GIF", "RGB"),
        encoded("TIFF", Image.fromarray(np.dstack([GREY, 0 * GREY, 0 * GREY]), "LAB")),
        encoded("PNG", GREY.astype(np.uint16) * 257),
        b"P5 8 8 65535\n" + (GREY.astype(">u2") * 257).tobytes(),
        b"P3 8 8 255\n" + b" ".join(b"%d" % level for level in UPRIGHT.ravel()),
        grey(np.float32, 1.0),
        grey(np.float32, 255.0),
        grey(np.int32, 255),
        grey(np.int32, 65535),
        grey(np.uint16, 65535),
        encoded("TIFF", np.where(GREY, 1.0, np.nan).astype(np.float32)),
    ],
    ids=[
        "CMYK JPEG",
        "CMYK TIFF",
        "YCbCr",
        "one bit",
        "BMP palette",
        "GIF",
        "LAB",
        "16-bit PNG",
        "16-bit PGM",
        "text PPM",
        "fractions",
        "floats",
        "32 bits of 8",
        "32 bits of 16",
        "16-bit TIFF",
        "not a number",
    ],
)
def test_every_kind_of_pixels_is_shown_in_rgb(shown, content):
    assert differ(shown(content), UPRIGHT) < 8


def bitmap(alpha: int) -> bytes:
    """A BMP file of 32 bits a pixel with a mask for the fourth byte."""
    pixels = np.dstack([UPRIGHT[::-1, :, ::-1], np.full(UPRIGHT.shape[:2], alpha, np.uint8)]).tobytes()
    height, width = UPRIGHT.shape[:2]
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bitmap_whose_fourth_byte_is_unused(shown, alpha):
    assert np.array_equal(shown(bitmap(alpha)), shown(encoded("PNG", UPRIGHT)))


def test_transparent_parts_of_a_bitmap_are_black(shown):
    content = bytearray(bitmap(0))
    content[-1] = 255  # the last pixel of the uppermost line
    rows = np.argwhere(shown(bytes(content)).any(axis=2))
    assert rows.tolist() == [[0, UPRIGHT.shape[1] - 1]]


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 257], ids=["8 bits", "16 bits"])
def test_a_negative_is_shown_positive(shown, pixels):
    content = bytearray(encoded("TIFF", pixels))
    at = content.index(struct.pack("<HHLH", 262, 3, 1, 1))
    content[at + 8] = 0  # white is zero
    assert differ(shown(bytes(content)), 255 - UPRIGHT) == 0


@pytest.mark.parametrize(
    ("pixels", "clear"),
    [(GREY, 255), (UPRIGHT, (255, 255, 255)), (GREY.astype(np.uint16) * 257, 65535)],
    ids=["grey", "colour", "16 bits"],
)
def test_a_transparent_colour_is_black(shown, pixels, clear):
    assert shown(encoded("PNG", pixels, transparency=clear)).max() == 0


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_pictures_the_first_is_taken(shown, format):
    options = {"WEBP": {"lossless": True}, "MPO": {"quality": 95}}.get(format, {})
    further = [Image.fromarray(255 - UPRIGHT)]
    assert differ(shown(encoded(format, save_all=True, append_images=further, **options)), UPRIGHT) < 8


def test_a_name_may_say_another_format_than_the_content(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("JPEG"))
    assert differ(decode(tmp_path / "x.png", SIDE).pixels, UPRIGHT) < 8


# Large ones


@pytest.mark.parametrize(("format", "mode"), [("PNG", "1"), ("JPEG", "L")])
def test_two_hundred_million_pixels_are_read(shown, format, mode):
    assert np.all(shown(encoded(format, Image.new(mode, (20_000, 10_000), "white"))) == 255)


def test_more_pixels_than_are_read(tmp_path):
    head = chunk(b"IHDR", struct.pack(">LL5B", 40_000, 40_000, 1, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UnreadableError) as error:
        decode(tmp_path / "x.png", SIDE).pixels
    assert str(error.value) == (
        f"1600 million pixels, more than MOST_PIXELS = {MOST_PIXELS} of src/sidetrip/data/decoding.py; shrink it"
    )
    assert MOST_PIXELS == decoding.MOST_PIXELS > 500e6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>404 Not Found</html>", "not a picture, or damaged"),
        (
            b"version https://git-lfs.github.com/spec/v1\nsize 3\n",
            "a pointer of Git LFS, not the picture: run `git lfs pull`",
        ),
    ],
)
def test_why_a_file_cannot_be_read(shown, content, reason):
    with pytest.raises(UnreadableError, match=f"^{reason}$"):
        shown(content)


def test_a_link_to_nothing_cannot_be_read(tmp_path):
    (tmp_path / "x.png").symlink_to("nowhere")
    with pytest.raises(UnreadableError, match=r"^No such file or directory$"):
        decode(tmp_path / "x.png", SIDE).pixels


# Folders


@pytest.fixture
def tree(tmp_path):
    """Two splits, two classes, one picture in each."""
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes(encoded("PNG"))
    return tmp_path


def data(root, **changes):
    values = {"source": "folder", "name": "bugs", "root": str(root), "size": SIDE, "shift": 1} | changes
    return smoke_config(**{f"data.{key}": value for key, value in values.items()}).data


def training(root):
    return find_splits(data(root))[0]


def test_all_that_torchvision_takes_is_taken():
    assert set(IMG_EXTENSIONS) <= set(SUFFIXES)


def test_pictures_are_known_by_their_names_in_any_case(tree):
    for i, suffix in enumerate(SUFFIXES):
        (tree / "train" / "ant" / f"{i + 1:02d}{suffix.upper()}").write_bytes(encoded("PNG"))
    split = training(tree)
    assert len(split.files) == 2 + len(SUFFIXES)
    assert split.left_out == []


def test_linked_folders_are_followed(tree):
    (tree / "elsewhere" / "deeper").mkdir(parents=True)
    (tree / "elsewhere" / "deeper" / "1.png").write_bytes(encoded("PNG"))
    (tree / "train" / "ant" / "more").symlink_to(tree / "elsewhere")
    (tree / "train" / "cow").symlink_to(tree / "elsewhere")
    (tree / "test" / "cow").symlink_to(tree / "elsewhere")
    assert training(tree).files == ["ant/0.png", "ant/more/deeper/1.png", "bee/0.png", "cow/deeper/1.png"]


@pytest.mark.parametrize("target", ["train/ant", "train", ".", ".."])
def test_a_link_back_is_not_followed(tree, target):
    (tree / "train" / "ant" / "inner").mkdir()
    (tree / "train" / "ant" / "inner" / "back").symlink_to((tree / target).resolve())
    split = training(tree)
    assert split.files == ["ant/0.png", "bee/0.png"]
    assert split.left_out == [("train/ant/inner/back", "folder that leads back to itself")]


def test_what_is_left_out_is_counted_and_named(tree, tmp_path_factory):
    ant = tree / "train" / "ant"
    (ant / "notes.txt").write_text("no picture", encoding="utf-8")
    (ant / ".hidden").mkdir()
    (ant / ".0.png").write_bytes(b"")
    (tree / "train" / "README").write_text("no picture", encoding="utf-8")
    (tree / "train" / "stray.png").write_bytes(encoded("PNG"))
    (tree / "test" / "bee" / "movie.mp4").write_bytes(b"")
    os.mkfifo(ant / "pipe.png")
    (ant / "loop").symlink_to("loop")
    splits = find_splits(data(tree))
    assert [split.files for split in splits] == [["ant/0.png", "bee/0.png"]] * 2
    output = tmp_path_factory.mktemp("output")
    write_left_out(splits, output)
    assert (output / "left_out.csv").read_text(encoding="utf-8").splitlines() == [
        "file,reason",
        "train/README,in no class folder",
        "train/stray.png,in no class folder",
        "train/ant/.0.png,hidden",
        "train/ant/.hidden,hidden",
        "train/ant/loop,other kind of file",
        "train/ant/notes.txt,other kind of file",
        "train/ant/pipe.png,neither file nor folder",
        "test/bee/movie.mp4,other kind of file",
    ]
    assert account(facts(tmp_path_factory), splits, Path("runs/smoke/prepare_data")) == (
        "sidetrip: 60 pictures found, 52 packed (40 for training, 12 for validation), 8 left out (2 in no class "
        "folder, 2 hidden, 3 other kind of file, 1 neither file nor folder), listed in "
        "runs/smoke/prepare_data/left_out.csv\n"
    )


def test_one_reason_is_told_without_its_count(tree, tmp_path_factory):
    (tree / "train" / "ant" / "notes.txt").write_text("no picture", encoding="utf-8")
    found = account(facts(tmp_path_factory), find_splits(data(tree)), Path("runs/smoke/prepare_data"))
    assert ", 1 left out (other kind of file), listed in runs/smoke/prepare_data/left_out.csv\n" in found
    assert account(facts(tmp_path_factory), [], Path()).endswith("12 for validation), none left out\n")


def close(monkeypatch, closed: Path) -> None:
    """Have a folder that cannot be listed: permissions mean nothing to root."""
    scan = os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)


def test_a_folder_without_permission_is_named(tree, monkeypatch, tmp_path_factory):
    (tree / "train" / "ant" / "secret").mkdir()
    close(monkeypatch, tree / "train" / "ant" / "secret")
    splits = find_splits(data(tree))
    assert splits[0].left_out == [("train/ant/secret", "folder that cannot be listed")]
    found = account(facts(tmp_path_factory), splits, Path("runs/smoke/prepare_data"))
    assert "1 left out (folder that cannot be listed: train/ant/secret), listed in" in found


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        (
            "train",
            "data.train_split = train: {root}/train cannot be listed (Permission denied); give yourself the permission "
            "to read it",
        ),
        (
            "train/ant",
            "data.train_split = train: 1 of 2 classes in {root}/train hold no picture file (ant; left out: folder that "
            "cannot be listed); fill or remove them",
        ),
    ],
)
def test_a_split_or_class_without_permission_is_refused(tree, monkeypatch, closed, message):
    close(monkeypatch, tree / closed)
    with pytest.raises(ConfigError) as error:
        find_splits(data(tree))
    assert str(error.value) == message.format(root=tree)


def test_one_folder_for_both_splits_is_refused(tree):
    (tree / "val").symlink_to("train")
    with pytest.raises(ConfigError) as error:
        find_splits(data(tree, validation_split="val"))
    assert str(error.value) == ("data.validation_split = val: the same folder as data.train_split; name another one")


def test_a_shard_tells_every_picture_that_it_cannot_read(tree, tmp_path_factory):
    (tree / "train" / "ant" / "1.png").write_bytes(b"")
    (tree / "train" / "bee" / "1.png").write_bytes(encoded("PNG")[:50])
    (shard,) = shard_files(training(tree))
    found = shard.pack(data(tree), tmp_path_factory.mktemp("shard"), lambda pictures: None)
    assert found[0] == (tree / "train/ant/1.png", "empty")
    assert found[1].file == tree / "train/bee/1.png"
    assert found[1].reason.startswith("damaged: ")
    assert len(found) == 2


def test_a_name_that_is_no_text_can_be_listed(tmp_path):
    table = names_table([(os.fsdecode(b"caf\xe9.png"), "empty"), (tmp_path / "größe.png", "empty")])
    assert table["file"].tolist() == ["caf�.png", f"{tmp_path}/größe.png"]


# A channel that is constant


def facts(tmp_path_factory, *constant: int):
    """Facts of 40 training and 12 validation pictures in colour, some channels of which are constant."""
    folder = tmp_path_factory.mktemp("packed")
    paths = {}
    for split, number in (("train", 40), ("validation", 12)):
        pictures = random_pictures(number, seed=0)
        pixels = np.repeat(pictures.pictures, 3, axis=3)
        for channel in constant:
            pixels[..., channel] = 10 * channel
        path = shard_path(folder, split, 0)
        save_shard(Pictures(pixels, pictures.labels, pictures.classes), path)
        paths[split] = [path]
    return gather_facts(paths)


def test_a_constant_channel_has_a_deviation_to_divide_by(tmp_path_factory):
    found = facts(tmp_path_factory, 1)
    assert found.deviation[1] == 1.0
    assert 0 < found.deviation[0] == found.deviation[2] <= 0.5
    assert found.mean[1] == pytest.approx(10 / 255)
    assert found.constant == {1: 10}
    check_not_all_constant(smoke_config(), found)
    assert account(found, [], Path()).splitlines()[1] == (
        "sidetrip: the same in every pixel of the training pictures, and so no help to the network: green = 10"
    )


def test_pictures_of_one_plain_colour_are_refused(tmp_path_factory):
    with pytest.raises(ConfigError) as error:
        check_not_all_constant(smoke_config(), facts(tmp_path_factory, 0, 1, 2))
    assert str(error.value) == (
        "data.source = embedded: all 40 training pictures are the same plain colour (red = 0, green = 10, blue = 20); "
        "use others, there is nothing to learn from these"
    )


# Where data.root is


def test_paths_are_taken_as_a_shell_takes_them(monkeypatch):
    monkeypatch.setenv("HOME", "/homes/me")
    monkeypatch.setenv("PICTURES", "/large")
    assert as_path("~/pictures") == Path("/homes/me/pictures")
    assert as_path("$HOME/${PICTURES}/x") == Path("/homes/me/large/x")
    assert as_path("relative/größe") == Path("relative/größe")
    assert as_path("~nobody-of-this-name/$NOT_SET") == Path("~nobody-of-this-name/$NOT_SET")


def test_pictures_in_the_home_folder_are_found(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.parent))
    assert find_splits(data(f"~/{tree.name}"))[0].where == tree / "train"


def test_a_copy_of_the_checkout_finds_what_git_ignores_in_the_original(tree, monkeypatch):
    copy = tree / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    settings = data(".")
    monkeypatch.chdir(copy)
    assert original_checkout(copy) == tree
    assert found_path(".", "train") == tree
    assert find_splits(settings)[0].files == ["ant/0.png", "bee/0.png"]
    (copy / "train").mkdir()  # what git does not ignore is the experiment's own
    assert found_path(".", "train") == Path()
    assert found_path(str(tree)) == tree


def test_elsewhere_a_relative_path_is_as_it_stands(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert original_checkout(tree) is None
    assert found_path("nowhere") == Path("nowhere")


def test_a_missing_root_is_named_as_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError) as error:
        check_root(data("~/pictures"))
    assert str(error.value) == (
        f"data.root = ~/pictures: no such folder ({tmp_path}/pictures); "
        "name the folder that holds <split>/<class>/ folders of pictures"
    )
