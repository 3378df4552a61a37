"""One signal ends a stage with one line, whichever of its threads the signal reaches; so does the end of its dvc."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidetrip.runtime.stopping import STOPPING

SECONDS = 2.0  # that an end may take
# Threads that were there first, as those of numpy are: the signals are not blocked in them.
ASKED = """
import signal, subprocess, sys, threading, time
for _ in range(4):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
from sidetrip.runtime.stopping import end_at_once_when_asked
end_at_once_when_asked("stage test")
subprocess.run([sys.executable, "-c", "import signal; print(*sorted(signal.pthread_sigmask(0, [])))"], check=True)
print("ready", flush=True)
"""
BUSY = {"asleep": "time.sleep(60)", "computing": "while True: pass", "waiting": "threading.Event().wait()"}
END_WITH_DVC = "from sidetrip.runtime.stopping import end_with_dvc"
FIRST = "import sidetrip.runtime.starting"
# In a session of its own: who takes over an orphan is in another one.
APART: Any = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
    "encoding": "utf-8",
    "start_new_session": True,
}


def python(script: str, **changes: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": "src", **changes}, **APART)


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("number", sorted(STOPPING))
def test_one_signal_ends_it_with_one_line(number, busy):
    for _ in range(2):  # the thread that a signal reaches is the system's choice
        process = python(ASKED + BUSY[busy])
        blocked_in_a_child = {int(blocked) for blocked in process.stdout.readline().split()}
        assert blocked_in_a_child >= STOPPING
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=SECONDS)
        name = signal.Signals(number).name
        assert stderr.splitlines() == [
            "",  # a progress bar may stand there
            f"sidetrip: stage test was stopped by {name}; what is finished is kept, run the same command to go on",
        ]
        assert process.returncode == 128 + number


def test_a_stage_is_ready_before_it_loads_anything_else(tmp_path):
    for path in Path("stages").glob("*.py"):
        _, first, *_ = ast.parse(path.read_text(encoding="utf-8")).body  # after its docstring
        assert path.stem == "configure" or ast.unparse(first) == FIRST
    script = tmp_path / "stages" / "test.py"
    script.parent.mkdir()
    script.write_text(f"{FIRST}\nimport time\nprint('ready', flush=True)\ntime.sleep(60)", encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": "src"}, **APART)
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.stderr.read().split("; ")[0] == "\nsidetrip: stage test was stopped by SIGINT"
    assert process.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_it_ends_with_one_line_when_its_dvc_is_gone(seconds):
    """Which may be before it begins to look."""
    looks = f"time.sleep({seconds}); {END_WITH_DVC}; end_with_dvc('stage test'); print('ready', flush=True)"
    stage = f"import time; {looks}; time.sleep(60)"
    started = f"subprocess.Popen([sys.executable, '-c', {stage!r}])"
    dvc = python(
        f"import subprocess, sys, time; {started}; print('started', flush=True); time.sleep(60)", DVC_STAGE="test"
    )
    assert dvc.stdout.readline() == "started\n"
    assert seconds or dvc.stdout.readline() == "ready\n"
    dvc.kill()
    assert dvc.stderr.read().splitlines()[-1] == (  # read to the end, which is that of the stage
        "sidetrip: stage test ended with the dvc that started it; what is finished is kept, "
        "run the same command to go on"
    )
