"""Units over several processes: the results of one up to rounding; kills change no byte; an error is one line."""

import random
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import parallel_units
import psutil
import pytest
import torch
from helpers import random_lab, smoke_config
from safetensors.torch import load_file
from smoke import environment, linked

from sidetrip.config import ConfigError
from sidetrip.engine.parallel import Ranks
from sidetrip.engine.parallel.batchnorm import WholeBatchNorm, _Normalise
from sidetrip.engine.state import save_state
from sidetrip.engine.training import Stream
from sidetrip.experiments.fixed_batch.measure import FixedStream
from sidetrip.files import FileError, files_in, read_json
from sidetrip.runtime import group as on_group
from sidetrip.runtime.devices import make_deterministic
from sidetrip.runtime.executor import run_units
from sidetrip.runtime.pool import WorkerKilledError
from sidetrip.runtime.provenance import PROVENANCE, provenance
from sidetrip.runtime.scratch import open_scratch
from sidetrip.tables import read_table

CASES = ["float64", "float32", "in_parts", "layers", "apart", "shared", "full_disk"]  # the last one ends the group
ON_GPUS = ["float64", "float32", "in_parts", "apart", "shared", "full_disk"]
ON_TWO = environment(SIDETRIP_PROCESSES="2", SIDETRIP_DEVICE="cpu")
RANKS = 3  # with two, the order of a sum does not matter
TOLERANCES = {"float64": 1e-10, "float32": 1e-4}


# The arithmetic, all of it on one group


class Group:
    """What the units of `parallel_units` leave on so many processes, and the error of the last of them."""

    def __init__(self, folder: Path, device: str, processes: int, cases: list[str]) -> None:
        make_deterministic("fp32")
        config = smoke_config(**{"burn_in.batch_size": 24, "single_step.batch_sizes": [24], "single_step.chunk": 24})
        config = replace(config, runtime=replace(config.runtime, processes=processes, device=device))
        self.folder, self.cases = folder, cases
        self.lab = random_lab(folder / "data", config)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(linked(folder))
            with open_scratch(config, "quadratic", processes) as self.scratch, pytest.raises(FileError) as raised:
                costs = [1.0] * len(cases)
                run_units(partial(parallel_units.unit, config), cases, costs, config, "test", self.scratch, processes)
        self.error = str(raised.value)

    def result(self, case: str) -> Path:
        return self.folder / self.scratch.of_unit(self.cases.index(case)).result

    def ends(self, case: str) -> list[Path]:
        """The state that each rank ends with."""
        return sorted((self.folder / "ends").glob(f"{case}_*"))


@pytest.fixture(scope="module")
def group(tmp_path_factory) -> Group:
    return Group(tmp_path_factory.mktemp("group"), "cpu", RANKS, CASES)


def check_run(group: Group, case: str) -> None:
    """Steps with augmentation, BatchNorm, momentum and weight decay against the same on one process."""
    state, losses = parallel_units.trained(group.lab, getattr(torch, case))
    save_state(state, group.folder / f"alone_{case}")
    alone, together = load_file(group.folder / f"alone_{case}"), load_file(group.ends(case)[0])
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        # λ v is what momentum adds to the weights.
        unit = parallel_units.RATES[getattr(torch, case)] if name.startswith("momentum/") else 1.0
        difference = unit * float((value - together[name]).abs().max())
        assert difference <= TOLERANCES[case], name
    found = read_table(group.result(case) / "losses.csv")["loss"].tolist()
    assert found == pytest.approx(losses, rel=max(TOLERANCES[case], 1e-8))  # 9 digits in a table


@pytest.mark.parametrize("case", TOLERANCES)
def test_the_run_of_one_process(group, case):
    check_run(group, case)


@pytest.mark.parametrize("case", TOLERANCES)
def test_all_ranks_end_with_the_same_bytes(group, case):
    found = [path.read_bytes() for path in group.ends(case)]
    assert len(found) == RANKS
    assert len(set(found)) == 1


def test_a_run_in_parts_is_the_whole_run_bit_for_bit(group):
    assert (group.folder / "ends/parts").read_bytes() == (group.folder / "ends/whole").read_bytes()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_batchnorm_of_the_whole_batch(group, dtype, tolerance):
    """Forward, backward and buffers of every kind of layer against PyTorch's own, in float64, on the whole batch."""
    differences = read_table(group.result("layers") / "differences.csv")
    rows = differences[differences["dtype"] == dtype]
    assert len(rows) > 20
    assert rows["error"].max() <= tolerance, rows.sort_values("error").tail()


def test_what_is_measured_is_shared_and_is_that_of_one_process(group):
    table = read_table(group.result("shared") / "measured.csv").set_index("what")["value"]
    alone = parallel_units.measured(group.lab)
    assert table[list(alone)].to_dict() == pytest.approx(alone, rel=1e-4, abs=1e-6)
    pictures = smoke_config().evaluation.validation_samples
    batches = -(-pictures // group.lab.config.evaluation.batch_size)
    assert table["scored here"] <= -(-pictures // RANKS) + batches


def test_ranks_that_have_gone_apart_are_noticed(group):
    lines = read_table(group.result("apart") / "said.csv")["line"].tolist()
    message = "the processes of a group have gone apart: they are at steps"
    assert lines == [f"{message} [0.0, 1.0, 0.0]", f"{message} [0.0, 0.0, 0.0]"]


def test_an_error_of_one_rank_ends_the_group_with_what_is_finished_kept(group):
    assert group.error == "somewhere: cannot be written (No space left on device); make room"
    assert all(group.result(case).is_dir() for case in CASES[:-1])
    assert not group.result("full_disk").exists()


def test_the_number_of_processes_is_recorded(group, monkeypatch):
    assert read_json(group.result("float64") / PROVENANCE)["processes"] == str(RANKS)
    monkeypatch.chdir(group.folder)
    one, two, three = (provenance(group.lab.config, "quadratic", processes) for processes in (1, 2, 3))
    assert len({one.digest, two.digest, three.digest}) == 3
    assert "processes" not in one.versions


def test_only_what_is_kept_is_left(group):
    """No rank but the first leaves anything in the scratch."""
    left = {path.name for path in (group.folder / group.scratch.folder).iterdir()}
    assert left == {group.result(case).name for case in CASES[:-1]}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_gpus(tmp_path):
    group = Group(tmp_path, "cuda", 2, ON_GPUS)
    for case in TOLERANCES:
        check_run(group, case)
        assert len({path.read_bytes() for path in group.ends(case)}) == 1
    test_a_run_in_parts_is_the_whole_run_bit_for_bit(group)


def test_processes_that_keep_dying_are_one_line(group, monkeypatch):
    attempts = []

    def broken(*_: object) -> None:
        attempts.append(1)
        raise WorkerKilledError("killed by SIGKILL, perhaps for memory")

    monkeypatch.setattr(on_group, "run_on_group", broken)
    monkeypatch.chdir(group.folder)
    config = replace(group.lab.config, variant="other")
    with (
        open_scratch(config, "quadratic", RANKS) as scratch,
        pytest.raises(ConfigError, match=r"^runtime.processes = 3: worker processes were lost 3 times before a unit"),
    ):
        run_units(None, [0], [1.0], config, "test", scratch, RANKS)
    assert len(attempts) == 3


def test_processes_that_cannot_form_a_group_are_one_line_with_the_cause_once(group, monkeypatch, capfd):
    launched = on_group.run_on_group
    attempts = []

    def counted(*arguments: object) -> None:
        attempts.append(1)
        launched(*arguments)

    monkeypatch.setattr(on_group, "run_on_group", counted)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere")
    monkeypatch.chdir(group.folder)
    config = replace(group.lab.config, variant="apart")
    with open_scratch(config, "quadratic", RANKS) as scratch, pytest.raises(ConfigError) as error:
        run_units(parallel_units.unit, ["full_disk"], [1.0], config, "test", scratch, RANKS)
    said = (
        r"runtime.processes = 3: the processes could not form a group \([^\n]*nowhere[^\n]*\); mend what it names, or "
    )
    assert re.fullmatch(said + "use 1", str(error.value))
    assert len(attempts) == 1
    assert "nowhere" not in "".join(capfd.readouterr())


def test_a_group_on_gpus_has_the_same_batchnorm_and_waits_for_no_layer():
    """Shapes alone, as if on a GPU: to read a number there, for which its queue would be waited for, is an error."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    class TwoAlike(Ranks):
        def sum(self, value: torch.Tensor) -> torch.Tensor:
            return 2 * value

        def gather(self, value: torch.Tensor) -> torch.Tensor:
            return torch.stack([value, value])

    two = TwoAlike(0, 2)
    with FakeTensorMode(), torch.device("cuda"):
        layer = two.normalise_together(torch.nn.BatchNorm2d(4))
        assert isinstance(layer, WholeBatchNorm)
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.empty(8, 4, 9, 9, dtype=dtype).to(memory_format=torch.channels_last)
            assert layer(x).dtype == dtype
            # Directly: autograd itself would start CUDA.
            saved = SimpleNamespace(saved_tensors=(x, layer.weight, *torch.empty(2, 4)), eps=layer.eps, ranks=two)
            dx, dweight, *_ = _Normalise.backward(saved, torch.empty_like(x))
            assert (dx.shape, dx.dtype, dx.device.type) == (x.shape, dtype, "cuda")
            assert dweight.dtype == torch.float32


# Parts of a batch


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("kind", ["training", "fixed"])
def test_parts_of_a_batch_put_together_are_the_batch(lab, kind, size):
    stream: Stream = lab.stream(0) if kind == "training" else FixedStream(lab.stream(0).batch(1))
    pictures, labels = stream.batch(7)
    parts = [stream.batch(7, slice(rank, None, size)) for rank in range(size)]
    assert all(len(part.labels) == len(labels) // size for part in parts)
    for rank, (some, theirs) in enumerate(parts):
        assert torch.equal(some, pictures[rank::size])
        assert torch.equal(theirs, labels[rank::size])


def test_one_process_loads_nothing_of_it():
    found = subprocess.check_output(
        [sys.executable, "-c", "import sys, sidetrip.experiments.burn_in.measure; print(*sys.modules)"],
        text=True,
        encoding="utf-8",
    ).split()
    assert "sidetrip.engine.training" in found
    for name in ("sidetrip.runtime.group", "sidetrip.engine.parallel.batchnorm", "torch.distributed.launcher"):
        assert name not in found


# Stages


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A repository with the data of the smoke variant."""
    root = linked(tmp_path_factory.mktemp("root"))
    assert finish(stage(root, "prepare_data"))[0] == 0
    return root


def stage(root: Path, name: str, *overrides: str) -> psutil.Popen:
    """Start a stage of one seed over two processes."""
    command = [sys.executable, f"stages/{name}.py", "-cd", "reports/smoke", "seeds=[0]", *overrides]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return psutil.Popen(command, cwd=root, env=ON_TWO, **pipes)


def finish(process: psutil.Popen) -> tuple[int, list[str]]:
    """Exit status, and what a stage says apart from its progress."""
    stdout, stderr = process.communicate()
    lines = [line for line in f"{stdout}\n{stderr}".replace("\r", "\n").splitlines() if line.strip()]
    return process.returncode, [line for line in lines if "step/s" not in line and "?step" not in line]


def results(root: Path) -> dict[str, bytes]:
    folder = root / "runs/smoke/burn_in"
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_in(folder)}


def ranks_of(process: psutil.Popen) -> list[psutil.Process]:
    found = []
    for child in process.children():
        with suppress(psutil.Error):  # it has ended
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def wait_for_save(process: psutil.Popen, root: Path, step: int, but: str = "") -> Path:
    """The state of a step that an attempt at the burn-in, not that of folder `but`, has saved or taken over."""
    while True:
        for path in root.glob(f"scratch/smoke/burn_in/*/unit_00000.progress.*/at_{step:09d}/state.safetensors"):
            if path.parents[1].name != but:
                return path
        assert process.poll() is None
        time.sleep(0.01)


STEPS = "burn_in.steps=105"


@pytest.fixture(scope="module")
def undisturbed(prepared) -> dict[str, bytes]:
    assert finish(stage(prepared, "burn_in", STEPS)) == (0, [])
    return results(prepared)


def test_kills_change_nothing(prepared, undisturbed):
    """SIGKILL of a rank, then of the stage, at random moments; each time the run goes on from its last save."""
    process = stage(prepared, "burn_in", STEPS)
    saved = wait_for_save(process, prepared, 15)
    first, attempt = saved.stat().st_ino, saved.parents[1].name
    time.sleep(random.uniform(0.0, 1.0))
    random.choice(ranks_of(process)).kill()
    assert wait_for_save(process, prepared, 15, but=attempt).stat().st_ino == first
    wait_for_save(process, prepared, 75, but=attempt)
    time.sleep(random.uniform(0.0, 0.5))
    there = ranks_of(process)
    process.kill()
    _, lines = finish(process)
    said = [line for line in lines if line.startswith("sidetrip:")]
    # The rank that was killed, or one that missed it first.
    how = r"(killed by SIGKILL, perhaps for memory|ended with exit status 1)( \(another process .* is gone.*\))?"
    assert re.fullmatch(f"sidetrip: a worker process was {how}; going on from what is finished", *said)
    _, alive = psutil.wait_procs(there, timeout=60)
    assert not alive
    assert finish(stage(prepared, "burn_in", STEPS)) == (0, [])
    assert results(prepared) == undisturbed


def test_a_burn_in_that_diverges_is_one_line(prepared):
    status, lines = finish(stage(prepared, "burn_in", STEPS, "burn_in.rate=100"))
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("sidetrip: burn_in.rate = 100: seed 0: the loss is not finite at step ")
