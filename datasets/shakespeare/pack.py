"""Pack a text file of the plays of Shakespeare into the .xz file beside this script.

    python datasets/shakespeare/pack.py FILE

FILE is the text of the plays that is known as "tiny shakespeare": 1 115 394 bytes of ASCII, 40 000 lines, SHA-256
86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed.
"""

import lzma
import sys
from pathlib import Path

from sidetrip.files import seal


def pack(source: Path, target: Path) -> None:
    """Write the compressed text and the digest of what was written."""
    path = target / "shakespeare.txt.xz"
    path.write_bytes(lzma.compress(source.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    seal(target, [path])


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(__file__).parent)
