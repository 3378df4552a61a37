r"""Packed text: one array of token numbers a split.

A split lies in <folder>/<split>/tokens.safetensors: "tokens" uint16 [n], one number a token, in the order of the text.
Its metadata hold the "vocabulary", a JSON list of texts: token i stands for entry i. With `data.tokens: character` the
vocabulary is every character of both splits, in the order of their Unicode numbers; with `byte` it is the 256 bytes,
byte i written as the character of number i.

With either, Windows line ends become \n, and a byte order mark at the beginning of a file is dropped.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sidetrip.config import Data
from sidetrip.data.packed import SPLITS, Facts
from sidetrip.files import check, replacing


def tokens_path(folder: Path, split: str) -> Path:
    """File of the tokens of a split in an output folder of prepare_data."""
    return folder / split / "tokens.safetensors"


def save_tokens(tokens: np.ndarray, vocabulary: tuple[str, ...], path: Path) -> None:
    """Write the tokens of a split, uint16 [n], atomically."""
    with replacing(path) as temporary:
        save_file({"tokens": tokens}, temporary, metadata={"vocabulary": json.dumps(vocabulary)})


def read_tokens(folder: Path, split: str) -> np.ndarray:
    """Tokens of a split of a sealed folder, uint16 [n], checked."""
    return load_file(check(tokens_path(folder, split)))["tokens"]


def read_vocabulary(folder: Path) -> tuple[str, ...]:
    """What each token of a packed text stands for."""
    with safe_open(tokens_path(folder, "train"), framework="np") as file:
        return tuple(json.loads(file.metadata()["vocabulary"]))


def facts_of_text(folder: Path) -> Facts:
    """The facts of the tokens in a folder."""
    train, validation = (len(load_file(tokens_path(folder, split))["tokens"]) for split in SPLITS)
    vocabulary = len(read_vocabulary(folder))
    return Facts(0, vocabulary, train, validation, [], [], "text", vocabulary)


def windows(tokens: int, context: int) -> int:
    """Samples of `context` tokens, one after the other, wherever in the first `context` tokens the first begins.

    All lie within the text, the last one's last target, which is one token on, too.
    """
    return tokens // context - 1


def samples(facts: Facts, data: Data) -> tuple[int, int]:
    """How many samples training and validation have: pictures, or windows of a text."""
    counts = facts.train_samples, facts.validation_samples
    return (windows(counts[0], data.context), windows(counts[1], data.context)) if data.is_text else counts
