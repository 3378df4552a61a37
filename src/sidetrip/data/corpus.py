"""Files of UTF-8 text, read in order, made tokens by character or by byte, split by position, packed (see `text`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidetrip.config import ConfigError, Data
from sidetrip.data.account import EMPTY, HIDDEN, OTHER_KIND, LeftOut, Odd, is_hidden
from sidetrip.data.embedded import SHAKESPEARE, shakespeare
from sidetrip.data.folders import check_root, data_root, inside, state_of
from sidetrip.data.packed import SPLITS
from sidetrip.data.text import save_tokens, tokens_path, windows

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_TOKENS = 2**16  # different ones, that uint16 numbers


@dataclass(frozen=True)
class Text:
    """A text, all of which is one part: files that are read one after another."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Tells it from every other one of every other state of its files."""
        return f"text_{state_of(Path(), [str(path) for path in self.files])}"

    def __len__(self) -> int:
        return sum(path.stat().st_size for path in self.files if path.exists())

    def pack(self, data: Data, folder: Path, progress: Callable[[int], None]) -> Odd:
        """Write the tokens of both splits into `folder`; see `Part`."""
        text = b"".join(_content(path, data.tokens) for path in self.files)
        tokens, vocabulary = tokenize(text, data.tokens)
        training = int(len(tokens) * (1 - data.validation_share))
        for split, part in zip(SPLITS, (tokens[:training], tokens[training:]), strict=True):
            if windows(len(part), data.context) < 1:
                raise ConfigError(
                    f"data.context = {data.context}: the {split} split has {len(part)} {data.tokens}s, and needs "
                    f"{2 * data.context}; lower data.context, add text, or change data.validation_share"
                )
            save_tokens(part, vocabulary, tokens_path(folder, split))
        progress(len(self))
        return {}


def find_text(data: Data) -> tuple[list[Text], list[LeftOut]]:
    """The embedded text, or the file that `data.root` names, or its .txt files by name; and what else lies there.

    Raises
    ------
    ConfigError
        If there is no text.
    """
    if data.source == "embedded":
        return [Text((SHAKESPEARE,))], []
    check_root(data)
    root = data_root(data)
    if root.is_file():
        return [Text((root,))], []
    folders, others = inside(root, f"data.root = {data.root}")
    left_out = [LeftOut(f"{name}/", HIDDEN if is_hidden(name) else OTHER_KIND) for name in folders]
    files = []
    for path in (root / name for name in sorted(others, key=os.fsencode)):
        if is_hidden(path.name):
            left_out.append(LeftOut(path.name, HIDDEN))
        elif path.suffix.lower() != ".txt" or not path.is_file():
            left_out.append(LeftOut(path.name, OTHER_KIND))
        elif path.stat().st_size <= len(BYTE_ORDER_MARK) and not _content(path, "byte"):
            left_out.append(LeftOut(path.name, EMPTY))
        else:
            files.append(path)
    if not files:
        raise ConfigError(f"data.root = {data.root}: holds no .txt file with text in it; name a folder that does")
    return [Text(tuple(files))], sorted(left_out)


def _content(path: Path, tokens: str) -> bytes:
    """Bytes of a file, line ends those of Unix; of UTF-8 where `tokens` are characters."""
    if path == SHAKESPEARE:
        return shakespeare()
    try:
        content = path.read_bytes()
        if tokens == "character":
            content.decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); set its permissions, or remove it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8; convert the file (iconv -f LATIN1 -t UTF-8, say), "
            "or set data.tokens: byte"
        ) from error
    return content.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n")


def tokenize(text: bytes, tokens: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Tokens of a text, uint16 [n], and the vocabulary, by "character" or by "byte".

    Raises
    ------
    ConfigError
        If there are more different characters than uint16 can number.
    """
    if tokens == "byte":
        return np.frombuffer(text, np.uint8).astype(np.uint16), tuple(map(chr, range(256)))
    codes = np.frombuffer(text.decode().encode("utf-32-le"), np.uint32)
    there = np.zeros(0x110000, bool)  # all of Unicode
    there[codes] = True
    vocabulary = tuple(map(chr, np.flatnonzero(there)))
    if len(vocabulary) > MOST_TOKENS:
        raise ConfigError(
            f"data.tokens = character: {len(vocabulary)} different ones, and at most {MOST_TOKENS} can be numbered; "
            "use byte"
        )
    return (np.cumsum(there) - 1)[codes].astype(np.uint16), vocabulary
