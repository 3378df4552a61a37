"""dvc that stops in the middle of writing dvc.lock where a file asks for it: python held_dvc.py ARGUMENTS."""

import random
import sys
import time
from pathlib import Path
from typing import Any

from dvc.cli import main
from dvc.utils.serialize import _yaml

HOLD, HELD = Path(".dvc/tmp/hold"), Path(".dvc/tmp/held")  # that it is to stop; that it has
write = _yaml._dump


def write_a_part(data: Any, stream: Any) -> None:
    """Write as DVC does; with HOLD there, so much of a dvc.lock that its end is missing, and wait for a signal."""
    if not ({"schema", "stages"} <= data.keys() and HOLD.exists()):
        write(data, stream)
        return
    text = _yaml.dumps_yaml(data)
    stream.write(text[: random.randrange(len(text))])
    stream.flush()
    HOLD.rename(HELD)
    time.sleep(3600)


if __name__ == "__main__":
    _yaml._dump = write_a_part
    sys.exit(main(sys.argv[1:]))
