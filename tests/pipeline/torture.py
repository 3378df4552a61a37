"""Interrupt dvc, stages and workers until the pipeline is through; compare with an undisturbed run.

    python tests/pipeline/torture.py --strikes 40 --locks 10 --seed 7

Each strike is SIGKILL, SIGTERM or SIGINT: to one process at a random moment of one stage, to all of them as a
terminal's Ctrl-C is, or to dvc while it writes dvc.lock, after any part of it; or SIGPIPE to whoever reads what they
say, which may end dvc, but no stage. The next start is that of `make repro`.
At the end runs/, reports/ and dvc.lock must be those of a run that nobody disturbed.
"""

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIG_DFL, SIGINT, SIGKILL, SIGPIPE, SIGTERM, Signals, signal
from subprocess import PIPE

import psutil
import yaml
from held_dvc import HELD, HOLD
from smoke import ROOT, clone, compare, environment

# Every stage that computes, in the order of the pipeline, which is that in which dvc runs them.
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = tuple(name for name in PIPELINE if name not in ("configure", "verdicts", "figures", "report", "index"))
LOCK = "dvc.lock"
# An interrupt reaches all processes of a terminal; a worker leaves it to its stage what that means.
WHILE_A_STAGE_RUNS = (
    *(("worker", number) for number in (SIGKILL, SIGTERM)),
    *(("stage", number) for number in (SIGKILL, SIGTERM, SIGINT)),
    *(("dvc", number) for number in (SIGKILL, SIGTERM)),
    ("all", SIGINT),
    ("reader", SIGPIPE),
)
WHILE_THE_LOCK_IS_WRITTEN = tuple((LOCK, number) for number in (SIGKILL, SIGTERM, SIGINT))
LONGEST = 600  # seconds that what is to go on may take to its end
WORKERS = "2"  # one is struck while another works


class Repro:
    """What `make repro` starts, under way, and the processes below it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seconds_to_end = 0.0  # after a strike, of all processes
        with (folder / "torture.log").open("ab") as log:
            self._reader = psutil.Popen(["cat"], stdin=PIPE, stdout=log)
        with self._reader.stdin as said:
            where = {"cwd": folder, "env": environment(SIDETRIP_WORKERS=WORKERS), "stdout": said, "stderr": said}
            assert psutil.Popen([sys.executable, "-m", "sidetrip.repair"], **where).wait() == 0
            command = [sys.executable, str(ROOT / "tests" / "pipeline" / "held_dvc.py"), "repro"]
            # Whoever runs in the background may have interrupts ignored, and what it starts as well.
            heed = partial(signal, SIGINT, SIG_DFL)
            self._dvc = psutil.Popen(command, start_new_session=True, preexec_fn=heed, **where)

    def wait(self) -> int:
        return self._dvc.wait()

    def ended(self) -> bool:
        return self._dvc.poll() is not None

    def stage(self) -> tuple[str, psutil.Process] | None:
        """Name and process of the stage that is running."""
        with suppress(psutil.NoSuchProcess):
            for process in self._dvc.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    for name in STAGES:
                        if f"stages/{name}.py" in process.cmdline():
                            return name, process
        return None

    def reach(self, name: str) -> bool:
        """Wait until a stage is running; False if dvc ends before, or a later stage is running."""
        while not self.ended():
            found = self.stage()
            if found and STAGES.index(found[0]) >= STAGES.index(name):
                return found[0] == name
            time.sleep(0.02)
        return False

    def strike(self, victim: str, number: Signals, name: str) -> bool:
        """Send a signal while a stage runs; False if the stage is over before there is a victim."""
        while (found := self.stage()) and found[0] == name:
            try:
                one = {"dvc": self._dvc, "stage": found[1], "all": self._dvc, "reader": self._reader}.get(victim)
                if victims := [one] if one else found[1].children(recursive=True):
                    self._send(victim, random.choice(victims), number)
                    break
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.02)  # its workers are not there yet
        else:
            return False
        if victim == "reader":
            found[1].wait(timeout=LONGEST)
            self._dvc.wait(timeout=LONGEST)
        elif victim != "worker":  # a stage goes on without a worker that it lost
            self._end()
        return True

    def strike_the_lock(self, number: Signals) -> bool:
        """Send a signal while the stage that is running enters dvc.lock; False if dvc ends before."""
        hold, held = self._folder / HOLD, self._folder / HELD
        hold.touch()
        while not held.exists():
            if self.ended():
                assert self.wait() == 0, "dvc failed before dvc.lock was struck"
                hold.unlink()
                return False
            time.sleep(0.02)
        held.unlink()
        self._send(LOCK, self._dvc, number)
        self._end()
        return True

    def _send(self, victim: str, process: psutil.Process, number: Signals) -> None:
        if number == SIGINT and victim in ("all", LOCK):
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def _end(self) -> None:
        start = time.monotonic()
        assert self.wait() != 0, "dvc took what was interrupted for finished"
        # A stage that outlives its dvc ends by itself; the next dvc must not take it for its own.
        for process in psutil.process_iter(["cwd"]):
            if process.info["cwd"] == str(self._folder) and process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):
                    process.wait(timeout=60)
        self.seconds_to_end = time.monotonic() - start


def shares(strikes: int, stages: int) -> list[int]:
    """How often to strike each stage: equally often, the rest at random."""
    each, rest = divmod(strikes, stages)
    more = random.sample(range(stages), rest)
    return [each + (index in more) for index in range(stages)]


def torture(folder: Path, stages: Sequence[str], strikes: int, locks: int, seconds: float) -> Counter[tuple[str, str]]:
    """Disturb stages that are still to run, one after another, then let the pipeline finish.

    Returns how often what was struck how.

    A stage that is over before its turn to be struck is left alone; dvc.lock is struck as the stage ends.
    """
    struck: Counter[tuple[str, str]] = Counter()
    running, writing = (
        itertools.cycle(random.sample(kinds, len(kinds))) for kinds in (WHILE_A_STAGE_RUNS, WHILE_THE_LOCK_IS_WRITTEN)
    )
    repro = None
    running_shares, lock_shares = shares(strikes - locks, len(stages)), shares(locks, len(stages))
    for name, share, lock_share in zip(stages, running_shares, lock_shares, strict=True):
        kinds = [*itertools.islice(running, share), *itertools.islice(writing, lock_share)]
        for victim, number in kinds:
            if repro is None or repro.ended():
                repro = Repro(folder)
            if not repro.reach(name):
                break
            if victim == LOCK:
                hit = repro.strike_the_lock(number)
            else:
                time.sleep(random.uniform(0, seconds))
                hit = repro.strike(victim, number, name)
            if hit:
                struck[victim, number.name] += 1
                print(
                    f"{struck.total():3d}  {name:16s} {victim:8s} {number.name:7s} {repro.seconds_to_end:.1f} s",
                    flush=True,
                )
    if repro is not None:
        repro.wait()
    last = Repro(folder).wait()
    assert last == 0, (folder / "torture.log").read_text(encoding="utf-8")[-2000:]
    return struck


def disturb(
    calm: Path, fresh: Callable[[int], Path], stages: Sequence[str], strikes: int, locks: int, seconds: float
) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Strike so many times, in as many fresh pipelines (numbered from 0) as it takes.

    Returns the files that differ from `calm`'s, and how often what was struck how.
    """
    struck: Counter[tuple[str, str]] = Counter()
    for round_ in itertools.count():
        of_locks = sum(times for (victim, _), times in struck.items() if victim == LOCK)
        disturbed = fresh(round_)
        struck += torture(disturbed, stages, strikes - struck.total(), max(0, locks - of_locks), seconds)
        differing = compare(calm, disturbed)
        if differing or struck.total() >= strikes:
            return differing, struck
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strikes", type=int, default=40)
    parser.add_argument("--locks", type=int, default=10, help="of the strikes, while dvc.lock is written")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        calm = clone(Path(folder) / "calm")
        assert Repro(calm).wait() == 0

        def fresh(round_: int) -> Path:
            return clone(Path(folder) / f"disturbed_{round_}")

        differing, struck = disturb(calm, fresh, STAGES, options.strikes, options.locks, seconds=4.0)
    counted = ", ".join(f"{times} {victim} {name}" for (victim, name), times in sorted(struck.items()))
    print(f"{struck.total()} strikes: {counted}; files that differ: {', '.join(differing) or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
