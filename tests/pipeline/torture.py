"""Kill dvc, stages and workers at random moments until the pipeline is through; compare with an undisturbed run.

    python tests/pipeline/torture.py --kills 40 --seed 7

Each kill is a SIGKILL of one process, in the middle of one stage, followed by a new `dvc repro`. At the end
runs/, reports/ and dvc.lock must be those of a run that nobody disturbed.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from smoke import clone, digests, dvc, environment

STAGES = (
    "prepare_data",
    "burn_in",
    "branch",
    "single_step",
    "side_trips",
    "quadratic",
    "fixed_batch",
    "divergence",
    "alignment",
)
VICTIMS = ("worker", "stage", "dvc")
RESULTS = ("runs", "reports", "dvc.lock")


class Repro:
    """`dvc repro` under way, and the processes below it."""

    def __init__(self, folder: Path) -> None:
        with (folder / "torture.log").open("ab") as log:
            self._dvc = psutil.Popen(["dvc", "repro"], cwd=folder, env=environment(), stdout=log, stderr=log)

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
        while self._dvc.poll() is None:
            found = self.stage()
            if found and STAGES.index(found[0]) >= STAGES.index(name):
                return found[0] == name
            time.sleep(0.02)
        return False

    def kill(self, kind: str, name: str) -> bool:
        """Kill a process while a stage runs; False if there is no such process any more."""
        found = self.stage()
        if found is None or found[0] != name:
            return False
        try:
            stage = found[1]
            victims = {"dvc": [self._dvc], "stage": [stage]}.get(kind) or stage.children(recursive=True)
            if not victims:
                return False
            random.choice(victims).kill()
        except psutil.NoSuchProcess:
            return False
        if kind != "worker":  # a stage goes on without a worker that it lost
            assert self.wait() != 0, f"dvc took a killed {kind} for a finished one"
        return True


def torture(folder: Path, kills: int, per_stage: int = len(VICTIMS), seconds: float = 6.0) -> int:
    """Disturb a fresh clone, stage by stage, then let it finish; returns how many kills struck.

    A stage that is through before its turn to be struck is left alone.
    """
    struck, repro = 0, None
    for name in STAGES:
        for kind in random.sample(VICTIMS, per_stage):
            if struck == kills:
                break
            if repro is None or repro.ended():
                repro = Repro(folder)
            if not repro.reach(name):
                break
            time.sleep(random.uniform(0, seconds))
            if repro.kill(kind, name):
                struck += 1
                print(f"{struck:3d}  {name:13s} {kind}", flush=True)
    if repro is not None:
        repro.wait()
    result = dvc(folder, "repro")
    assert result.returncode == 0, result.stderr[-2000:]
    return struck


def compare(calm: Path, disturbed: Path) -> list[str]:
    """Files of the results that two repositories do not share byte by byte."""
    pairs = set(digests(calm, *RESULTS).items()) ^ set(digests(disturbed, *RESULTS).items())
    return sorted({name for name, _ in pairs})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        calm = clone(Path(folder) / "calm")
        assert dvc(calm, "repro").returncode == 0
        struck = 0
        for round_ in itertools.count():
            disturbed = clone(Path(folder) / f"disturbed_{round_}")
            struck += torture(disturbed, options.kills - struck)
            differing = compare(calm, disturbed)
            print(f"{struck} kills; files that differ from an undisturbed run: {', '.join(differing) or 'none'}")
            if differing:
                sys.exit(1)
            if struck >= options.kills:
                return


if __name__ == "__main__":
    main()
