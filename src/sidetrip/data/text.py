"""Text: files of UTF-8 read in order, split by position, packed as one array of token numbers a split.

A split lies in <folder>/<split>/tokens.safetensors: "tokens" uint16 [n], one number a token, in the order of the text.
Its metadata hold the "vocabulary", a JSON list of texts: token i stands for entry i. With `data.tokens: character` the
vocabulary is every character of both splits, in the order of their Unicode numbers; with `byte` it is the 256 bytes,
byte i written as the character of number i.

facts.json (see `packed.Facts`) says: kind "text"; vocabulary and classes, both the length of the vocabulary, since a
network tells the next token; train_samples and validation_samples, the tokens of each split; channels 0, mean and
deviation empty.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sidetrip.files import check, replacing


def tokens_path(folder: Path, split: str) -> Path:
    """File of the tokens of a split in an output folder of prepare_data."""
    return folder / split / "tokens.safetensors"


def save_tokens(tokens: np.ndarray, vocabulary: tuple[str, ...], path: Path) -> None:
    """Write the tokens of a split, uint16 [n], atomically."""
    with replacing(path) as temporary:
        save_file({"tokens": tokens}, temporary, metadata={"vocabulary": json.dumps(vocabulary)})


def read_tokens(folder: Path, split: str) -> np.ndarray:
    """Tokens of a split of a sealed folder, uint16 [n].

    Raises
    ------
    FileError
        If the file is missing or damaged.
    """
    return load_file(check(tokens_path(folder, split)))["tokens"]


def read_vocabulary(folder: Path) -> tuple[str, ...]:
    """What each token of a packed text stands for."""
    with safe_open(tokens_path(folder, "train"), framework="np") as file:
        return tuple(json.loads(file.metadata()["vocabulary"]))
