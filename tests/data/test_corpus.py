"""Text: the packed tokens say the text again, and what is no text is refused with its place."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.config import ConfigError, Data
from sidetrip.config.known import KNOWN_DATASETS
from sidetrip.data.corpus import find_text, tokenize
from sidetrip.data.packed import SPLITS, Facts, read_facts
from sidetrip.data.sources import pack
from sidetrip.data.text import read_tokens, read_vocabulary, tokens_path, windows
from sidetrip.files import FileError, sealing

ROOT = Path(__file__).parents[2]


def settings(root: object, **changes) -> Data:
    values = {"source": "text", "name": "verses", "root": str(root), "context": 2, "validation_share": 0.25} | changes
    return replace(smoke_config().data, **values)


def packed(data: Data, folder: Path) -> tuple[Facts, list[int], list[int], tuple[str, ...]]:
    """Facts, tokens of both splits, and vocabulary, packed into a folder and read again."""
    with sealing(folder) as target:
        pack(data, target)
    train, validation = (read_tokens(folder, split).tolist() for split in SPLITS)
    return read_facts(folder), train, validation, read_vocabulary(folder)


@given(st.text(st.characters(codec="utf-8"), min_size=20), st.sampled_from(["character", "byte"]))
def test_the_tokens_say_the_text_again(text, tokens):
    content = text.encode()
    numbers, vocabulary = tokenize(content, tokens)
    assert numbers.dtype == np.uint16
    encoding = "utf-8" if tokens == "character" else "latin-1"
    assert "".join(vocabulary[number] for number in numbers).encode(encoding) == content
    assert vocabulary == (tuple(sorted(set(text))) if tokens == "character" else tuple(map(chr, range(256))))


def test_files_are_read_by_name_as_one_text_without_marks_of_windows(tmp_path):
    root = tmp_path / "texts"
    (root / "deeper.txt").mkdir(parents=True)
    for name, content in {
        "b.txt": "\ufeffλb\r\nc\r",
        "a.TXT": "aaaaaaaaaa\r\n",
        "empty.txt": "",
        "mark.txt": "\ufeff",
        "c.md": "no",
        ".d.txt": "no",
    }.items():
        (root / name).write_bytes(content.encode())
    data = settings(root)
    facts, train, validation, vocabulary = packed(data, tmp_path / "packed")
    assert "".join(vocabulary[token] for token in train + validation) == "aaaaaaaaaa\nλb\nc\r"
    assert (len(train), len(validation)) == (12, 4)
    assert facts == Facts(0, 6, 12, 4, [], [], "text", 6)
    (text,), left_out = find_text(data)
    assert left_out == [
        (".d.txt", "hidden"),
        ("c.md", "other kind of file"),
        ("deeper.txt/", "other kind of file"),
        ("empty.txt", "empty"),
        ("mark.txt", "empty"),
    ]
    before = text.name
    (root / "b.txt").write_bytes(b"another text")
    assert text.name != before  # what a stopped run has packed is not taken up


def test_a_file_in_place_of_a_folder(tmp_path):
    path = tmp_path / "some text"
    path.write_bytes(bytes(range(256)))
    facts, train, validation, _ = packed(settings(path, tokens="byte"), tmp_path / "packed")
    assert train + validation == list(range(256))
    assert (facts.classes, facts.train_samples) == (256, 192)


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("\ufeffa".encode() + b"\xff" * 9, {}, r"a.txt: byte 4 is not UTF-8; convert .*data.tokens: byte"),
        ("abcd".encode("utf-16"), {}, r"a.txt: byte 0 is not UTF-8; convert"),
        (b"a" * 40, {"context": 8}, r"data.context = 8: the validation split has 10 characters, and needs 16; lower"),
        (b"", {}, r"data.root = .*: holds no .txt file with text in it; name"),
    ],
)
def test_what_is_refused(tmp_path, content, changes, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        packed(settings(tmp_path, **changes), tmp_path / "packed")


def test_more_characters_than_can_be_numbered_are_refused():
    text = "".join(chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000)
    with pytest.raises(ConfigError, match=r"129024 different ones, .* use byte"):
        tokenize(text.encode(), "character")


def test_damaged_tokens_are_not_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abcdefgh" * 9)
    packed(settings(tmp_path), tmp_path / "packed")
    path = tokens_path(tmp_path / "packed", "train")
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(FileError, match="damaged"):
        read_tokens(tmp_path / "packed", "train")


@given(st.integers(1, 20), st.integers(0, 500))
def test_every_window_lies_within_the_text_wherever_the_first_begins(context, tokens):
    count = windows(tokens, context)
    assert (context - 1) + count * context + 1 <= tokens or count < 1
    assert (context - 1) + (count + 1) * context + 1 > tokens


def test_the_embedded_plays_are_those_that_their_script_packed(tmp_path):
    data = settings("none", source="embedded", name="shakespeare", context=64, validation_share=0.1)
    facts, train, validation, vocabulary = packed(data, tmp_path / "packed")
    known = KNOWN_DATASETS["shakespeare"]
    assert (facts.kind, facts.vocabulary) == ("text", known.classes)
    assert (len(train), len(validation)) == (known.training_pictures, known.validation_pictures)
    text = "".join(vocabulary[token] for token in train + validation)
    script = (ROOT / "datasets/shakespeare/pack.py").read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() in script
