"""Text: the packed tokens say the text again, and what is no text is refused with its place."""

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.config import ConfigError
from sidetrip.config.known import KNOWN_DATASETS
from sidetrip.data.corpus import find_text, tokenize
from sidetrip.data.packed import Facts, read_facts, write_facts
from sidetrip.data.sources import find
from sidetrip.data.text import facts_of_text, read_tokens, read_vocabulary, tokens_path, windows
from sidetrip.files import FileError, sealing

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Settings:
    """The settings that a text needs."""

    root: str = ""
    source: str = "text"
    name: str = "verses"
    train_split: str = ""
    tokens: str = "character"
    context: int = 2
    validation_share: float = 0.25


def packed(data: Settings) -> tuple[Facts, list[np.ndarray], tuple[str, ...]]:
    """Facts, tokens of both splits, and vocabulary, packed and read again."""
    with tempfile.TemporaryDirectory() as folder:
        with sealing(Path(folder) / "packed") as target:
            for part in find(data)[0]:
                assert part.pack(data, target, lambda amount: None) == {}
            write_facts(facts_of_text(target), target)
        target = Path(folder) / "packed"
        return read_facts(target), [read_tokens(target, split) for split in SPLITS], read_vocabulary(target)


@given(st.text(st.characters(codec="utf-8"), min_size=20), st.sampled_from(["character", "byte"]))
def test_the_tokens_say_the_text_again(text, tokens):
    content = text.encode()
    numbers, vocabulary = tokenize(content, tokens)
    assert numbers.dtype == np.uint16
    encoding = "utf-8" if tokens == "character" else "latin-1"
    assert "".join(vocabulary[number] for number in numbers).encode(encoding) == content
    assert vocabulary == (tuple(sorted(set(text))) if tokens == "character" else tuple(map(chr, range(256))))


def test_files_are_read_by_name_as_one_text_without_marks_of_windows(tmp_path):
    (tmp_path / "b.txt").write_bytes("\ufeffλb\r\nc\r".encode())
    (tmp_path / "a.TXT").write_bytes(b"aaaa\r\n")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "mark.txt").write_bytes("\ufeff".encode())
    (tmp_path / "c.md").write_bytes(b"no")
    (tmp_path / "deeper.txt").mkdir()
    (tmp_path / ".d.txt").write_bytes(b"no")
    data = Settings(str(tmp_path), context=1)
    facts, (train, validation), vocabulary = packed(data)
    text = "".join(vocabulary[token] for token in [*train, *validation])
    assert text == "aaaa\nλb\nc\r"
    assert (len(train), len(validation)) == (7, 3)
    assert facts == Facts(0, 6, 7, 3, [], [], "text", 6)
    assert find_text(data)[1] == [
        (".d.txt", "hidden"),
        ("c.md", "other kind of file"),
        ("deeper.txt/", "other kind of file"),
        ("empty.txt", "empty"),
        ("mark.txt", "empty"),
    ]
    before = find_text(data)[0][0].name
    (tmp_path / "b.txt").write_bytes(b"another text")
    assert find_text(data)[0][0].name != before  # what a stopped run has packed is not taken up


def test_a_file_in_place_of_a_folder(tmp_path):
    path = tmp_path / "some text"
    path.write_bytes(bytes(range(256)))
    facts, (train, validation), _ = packed(Settings(str(path), tokens="byte"))
    assert [*train, *validation] == list(range(256))
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
        packed(replace(Settings(str(tmp_path)), **changes))


def test_more_characters_than_can_be_numbered_are_refused():
    text = "".join(chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000)
    with pytest.raises(ConfigError, match=r"129024 different ones, .* use byte"):
        tokenize(text.encode(), "character")


def test_damaged_tokens_are_not_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abcdefgh" * 9)
    data = Settings(str(tmp_path))
    with sealing(tmp_path / "packed") as target:
        find(data)[0][0].pack(data, target, lambda amount: None)
    path = tokens_path(tmp_path / "packed", "train")
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(FileError, match="damaged"):
        read_tokens(tmp_path / "packed", "train")


@given(st.integers(1, 20), st.integers(0, 500))
def test_every_window_lies_within_the_text_wherever_the_first_begins(context, tokens):
    count = windows(tokens, context)
    assert (context - 1) + count * context + 1 <= tokens or count < 1
    assert (context - 1) + (count + 1) * context + 1 > tokens


def test_the_embedded_plays_are_those_that_their_script_packed():
    data = Settings(source="embedded", name="shakespeare", context=64, validation_share=0.1)
    facts, (train, validation), vocabulary = packed(data)
    known = KNOWN_DATASETS["shakespeare"]
    assert (facts.kind, facts.vocabulary) == ("text", known.classes)
    assert (len(train), len(validation)) == (known.training_pictures, known.validation_pictures)
    text = "".join(vocabulary[token] for token in [*train, *validation])
    script = (ROOT / "datasets/shakespeare/pack.py").read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() in script
