"""`make gpu` without a GPU: one line; its parts, their order and what is told of them, with other commands."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from helpers import smoke_config

from benchmarks import gpu, gpu_parts
from benchmarks.gpu import ENDED, PASSED, Part, run_parts
from sidetrip.config import load_params, resolve
from sidetrip.config.checks import check
from sidetrip.data.packed import load_pictures
from sidetrip.experiments.registry import plans

CPU = torch.device("cpu")
SAYS = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x'); print('said')"


def counting(name: str, folder: Path, then: str = "", **others) -> Part:
    """A part that leaves a mark at each time that it runs."""
    mark = folder / f"{name}.marks"
    mark.touch()
    return Part(name, name.title(), ["-S", "-c", f"{SAYS}\n{then}", str(mark)], others.pop("seconds", 60.0), **others)


def marks(name: str, folder: Path) -> int:
    return len((folder / f"{name}.marks").read_text(encoding="utf-8"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_is_one_line():
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "sidetrip: no GPU here that torch can use, so nothing was measured; run `make gpu` where there is one\n"
    )


def test_a_part_that_has_passed_is_not_run_again_and_one_that_has_not_is(tmp_path):
    report, kept = tmp_path / "gpu.md", tmp_path / "done.json"
    parts = [
        counting("good", tmp_path),
        counting("bad", tmp_path, "sys.exit('no such thing')"),
        counting("slow", tmp_path, "import time; time.sleep(600)", seconds=1.0, ends_anywhere=True),
    ]
    for times in (1, 2):
        outcomes = run_parts(parts, kept, report, "A GPU.", 60.0)
        assert [outcome.status for outcome in outcomes] == [PASSED, "failed with exit status 1", ENDED]
        assert [marks(part.name, tmp_path) for part in parts] == [1, times, times]
    assert [gpu.is_done(*each) for each in zip(parts, outcomes, strict=True)] == [True, False, True]
    page = report.read_text(encoding="utf-8")
    assert "A GPU." in page
    assert "| bad | failed with exit status 1 |" in page
    assert "no such thing" in page
    assert page.count("said") == 3


def test_what_there_is_no_time_for_waits_for_the_next_run(tmp_path):
    parts = [counting("first", tmp_path, "import time; time.sleep(600)", seconds=600.0), counting("last", tmp_path)]
    first = run_parts(parts, tmp_path / "done.json", tmp_path / "gpu.md", "", 0.5)
    assert [outcome.status for outcome in first] == [ENDED, gpu.WAITING]
    assert "| last | not run yet | 0 |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_part_ends_with_all_that_it_has_started(tmp_path):
    mark = tmp_path / "process"
    start = "import subprocess, time; child = subprocess.Popen(['sleep', '600']);"
    tell = f"open({str(mark)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    assert gpu.run(Part("parent", "", ["-S", "-c", start + tell], 60.0), 1.0).status == ENDED
    number = mark.read_text(encoding="utf-8")
    _, alive = psutil.wait_procs([p for p in psutil.process_iter() if str(p.pid) == number], 10.0)
    assert not alive


def test_the_parts_take_ten_minutes_at_most_and_name_what_is_there():
    assert gpu.SECONDS <= 600
    for part in gpu.PARTS:
        assert part.command[0] == "-m"
        assert part.command[1] != "benchmarks.gpu_parts" or hasattr(gpu_parts, part.command[2])


def test_the_environment_says_what_computes():
    said = "\n".join(gpu_parts.environment(CPU))
    assert torch.__version__ in said
    assert "deterministic algorithms: True" in said


def test_each_network_is_checked_once():
    params = load_params(Path("params.yaml"))
    config = resolve(params, "smoke")
    other = replace(config, variant="other", model=replace(config.model, width=4))
    decoder = {"data.name": "shakespeare", "model.name": "decoder", "model.width": 8}
    text = replace(smoke_config(**decoder), variant="text")
    said = list(gpu_parts.operations(CPU, [config, replace(config, variant="same"), other, text]))
    assert [line.partition(":")[0] for line in said] == ["smoke", "other", "text"]
    assert all("twice alike" in line for line in said)


def test_random_pictures_are_those_of_the_variant_in_kind(work):
    assert (work.lab.facts.channels, work.lab.facts.classes) == (1, 10)
    assert load_pictures(work.folder / "prepare_data", "train").pictures.shape == (400, 14, 14, 1)


def test_a_profile_of_a_step_names_its_operations(work):
    said = "\n".join(gpu_parts.profile(work))
    assert "aten::" in said


def test_every_stage_with_a_network_tells_its_speed(work):
    said = list(gpu_parts.first_units(work))
    names = [line.partition(":")[0] for line in said]
    assert names == [plan.name for plan in plans() if plan.network]
    assert "burn_in" in names
    assert "quadratic" not in names


def test_pictures_that_are_there_are_taken(tmp_path, monkeypatch):
    config = resolve(load_params(Path("params.yaml")), "cifar10")
    monkeypatch.chdir(tmp_path)
    assert gpu_parts.pictures_there(config) is None
    archive = Path(config.data.root) / "cifar-10-python.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert gpu_parts.pictures_there(config) == []
    Path("datasets/cifar10").mkdir()
    assert gpu_parts.pictures_there(config) == ["data.source=folder", "data.root=datasets/cifar10"]


def test_a_shortened_variant_is_one_that_may_be_run():
    check(gpu_parts.shortened(resolve(load_params(Path("params.yaml")), "cifar10")))
