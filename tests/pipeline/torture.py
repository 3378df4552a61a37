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
import yaml
from smoke import ROOT, clone, compare, dvc, environment

# Every stage that computes, in the order of the pipeline, which is that in which dvc runs them.
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = tuple(name for name in PIPELINE if name not in ("configure", "figures", "report"))
VICTIMS = ("worker", "stage", "dvc")
WORKERS = "2"  # one is killed while another works


class Repro:
    """`dvc repro` under way, and the processes below it."""

    def __init__(self, folder: Path) -> None:
        with (folder / "torture.log").open("ab") as log:
            settings = environment(SIDETRIP_WORKERS=WORKERS)
            self._dvc = psutil.Popen(["dvc", "repro"], cwd=folder, env=settings, stdout=log, stderr=log)

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
        """Kill a process while a stage runs; False if the stage is over before there is one."""
        while (found := self.stage()) and found[0] == name:
            try:
                victims = {"dvc": [self._dvc], "stage": [found[1]]}.get(kind) or found[1].children(recursive=True)
                if victims:
                    random.choice(victims).kill()
                    break
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.02)  # its workers are not there yet
        else:
            return False
        if kind != "worker":  # a stage goes on without a worker that it lost
            assert self.wait() != 0, f"dvc took a killed {kind} for a finished one"
        return True


def shares(kills: int) -> list[int]:
    """How often to strike each stage: equally often, the rest at random."""
    each, rest = divmod(kills, len(STAGES))
    more = random.sample(range(len(STAGES)), rest)
    return [each + (index in more) for index in range(len(STAGES))]


def torture(folder: Path, kills: int, seconds: float) -> int:
    """Disturb a fresh clone, stage by stage, then let it finish; returns how many kills struck.

    A stage that is over before its turn to be struck is left alone.
    """
    struck, repro = 0, None
    for name, share in zip(STAGES, shares(kills), strict=True):
        for kind in itertools.islice(itertools.cycle(random.sample(VICTIMS, len(VICTIMS))), share):
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
    result = dvc(folder, "repro", SIDETRIP_WORKERS=WORKERS)
    assert result.returncode == 0, result.stderr[-2000:]
    return struck


def disturb(calm: Path, folder: Path, kills: int, seconds: float) -> list[str]:
    """Strike so many times, in as many fresh clones as it takes; returns the files that differ from `calm`'s."""
    struck = 0
    for round_ in itertools.count():
        disturbed = clone(folder / f"disturbed_{round_}")
        struck += torture(disturbed, kills - struck, seconds)
        differing = compare(calm, disturbed)
        if differing or struck >= kills:
            return differing
    raise AssertionError


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
        differing = disturb(calm, Path(folder), options.kills, seconds=4.0)
    print(f"{options.kills} kills; files that differ from an undisturbed run: {', '.join(differing) or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
