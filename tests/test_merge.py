"""Merging files: the numbers of a plain float64 sum, in little memory, whole or not at all; faults are one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sidetrip.engine.state import TrainState, save_state, state_path
from sidetrip.kernels import Schedule
from sidetrip.merge import main
from sidetrip.snapshots import nearest_average

STEPS = (100, 200, 400)
COEFFICIENTS = nearest_average(STEPS, Schedule.linear(300)).coefficients
MERGE = ["--decay", "linear", "--over", "300"]


def tensors(step: int, dtype=torch.float32) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(step)
    return {
        "layer.weight": torch.randn(7, 5, generator=random).to(dtype),
        "bn.weight": torch.randn(5, generator=random).to(dtype),
        "bn.running_mean": torch.randn(5, generator=random),
        "bn.num_batches_tracked": torch.tensor(step),
        "empty": torch.zeros(0, 3, dtype=dtype),
        "scalar": torch.randn((), generator=random).to(dtype),
    }


@pytest.fixture(params=[torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def snapshots(request, tmp_path):
    for step in STEPS:
        save_file(tensors(step, request.param), tmp_path / f"checkpoint-{step}.safetensors")
    return request.param, [str(tmp_path / f"checkpoint-{step}.safetensors") for step in STEPS]


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as error:
        main([str(argument) for argument in arguments])
    assert error.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_it_is_the_plain_sum_in_double_precision(snapshots, tmp_path, capsys):
    dtype, paths = snapshots
    main([*reversed(paths), *MERGE, "--output", str(tmp_path / "merged.safetensors")])
    found, stored = load_file(tmp_path / "merged.safetensors"), [load_file(path) for path in paths]
    for name, tensor in stored[-1].items():
        if name in ("bn.running_mean", "bn.num_batches_tracked"):
            assert torch.equal(found[name], tensor)
            continue
        parts = [c * snapshot[name].double() for c, snapshot in zip(COEFFICIENTS, stored, strict=True)]
        assert torch.equal(found[name], (parts[0] + parts[1] + parts[2]).to(dtype)), name
    said = capsys.readouterr().out
    assert "not averaged: " in said
    assert "recalibrate" in said


def test_another_type_on_request(snapshots, tmp_path):
    _, paths = snapshots
    main([*paths, *MERGE, "--dtype", "bfloat16", "--output", str(tmp_path / "merged.safetensors")])
    found = load_file(tmp_path / "merged.safetensors")
    assert found["layer.weight"].dtype == torch.bfloat16
    assert found["bn.running_mean"].dtype == torch.float32


def test_rounding_to_bfloat16_is_torch_s(tmp_path):
    values = torch.cat([torch.randn(2000) * 10.0**e for e in range(-40, 39, 6)])
    values = torch.cat([values, torch.tensor([float("inf"), -float("inf"), 3.4e38, 0.0])])
    for step in (1, 2):
        save_file({"w": values}, tmp_path / f"s{step}.safetensors")
    arguments = [str(tmp_path / f"s{step}.safetensors") for step in (1, 2)]
    (tmp_path / "ones").write_text("1")
    output = tmp_path / "merged.safetensors"
    main([*arguments, "--multipliers", str(tmp_path / "ones"), "--dtype", "bfloat16", "--output", str(output)])
    assert torch.equal(load_file(output)["w"].view(torch.int16), values.bfloat16().view(torch.int16))


def test_shards_with_an_index(tmp_path):
    for step in STEPS:
        folder = tmp_path / f"step-{step}"
        folder.mkdir()
        parts = {"a.safetensors": {}, "b.safetensors": {}}
        for i, (name, tensor) in enumerate(tensors(step).items()):
            parts["ab"[i % 2] + ".safetensors"][name] = tensor
        for name, part in parts.items():
            save_file(part, folder / name)
        places = {name: shard for shard, part in parts.items() for name in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        save_file(tensors(step), tmp_path / f"whole-{step}.safetensors")
    for kind, output in (("step-{}", "sharded"), ("whole-{}.safetensors", "whole")):
        paths = [str(tmp_path / kind.format(step)) for step in STEPS]
        main([*paths, *MERGE, "--output", str(tmp_path / output)])
    sharded, whole = load_file(tmp_path / "sharded"), load_file(tmp_path / "whole")
    assert sharded.keys() == whole.keys()
    assert all(torch.equal(sharded[name], whole[name]) for name in whole)


def test_snapshots_of_our_own(tmp_path):
    for step in STEPS:
        weights, buffers, momentum = ({"w": torch.full((3,), factor * step)} for factor in (1.0, 2.0, 3.0))
        save_state(TrainState(step, weights, buffers, momentum), state_path(tmp_path, step))
    paths = [str(state_path(tmp_path, step)) for step in STEPS]
    main([*paths, *MERGE, "--output", str(tmp_path / "merged.safetensors")])
    found = load_file(tmp_path / "merged.safetensors")
    expected = float(np.dot(COEFFICIENTS, STEPS))
    assert found["weights/w"].tolist() == pytest.approx([expected] * 3)
    assert found["buffers/w"].tolist() == [800.0] * 3
    assert int(found["step"]) == 400


def test_a_dry_run_prints_and_writes_nothing(snapshots, tmp_path, capsys):
    _, paths = snapshots
    before = sorted(tmp_path.iterdir())
    main([*paths, *MERGE, "--dry-run"])
    said = capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before
    for coefficient in COEFFICIENTS:
        assert f"{coefficient:.6g}" in said
    main([*paths, *MERGE, "--dry-run", "--picture", str(tmp_path / "schedule.png")])
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_one_line_and_nothing_is_written(tmp_path, capsys):
    paths = []
    for step in STEPS:
        paths.append(tmp_path / f"checkpoint-{step}.safetensors")
        save_file(tensors(step), paths[-1])
    output = tmp_path / "merged.safetensors"
    before = sorted(tmp_path.iterdir())

    def says(*arguments):
        line = refused(capsys, *arguments, "--output", output)
        assert not output.exists()
        return line

    assert "no such" in says(tmp_path / "none-1.safetensors", *paths, *MERGE).lower()
    assert "begins at -600, before the first snapshot (100)" in says(*paths, "--over", 1000)
    (tmp_path / "final.safetensors").touch()
    assert "no step in its name" in says(tmp_path / "final.safetensors", paths[0], *MERGE)
    (tmp_path / "final.safetensors").unlink()
    assert "2 steps for 3 snapshots" in says(*paths, "--over", 100, "--steps", 1, 2)
    assert "at least 1" in says(*paths)
    assert "--output: not given" in refused(capsys, *paths, *MERGE)
    content = paths[1].read_bytes()
    for damaged, message in (
        (content[:-3], "no whole safetensors file"),
        (b"\xff" * 8 + content[8:], "no sensible length"),
        (content[:20], "no whole safetensors file"),
        (b"", "no whole safetensors file"),
    ):
        paths[1].write_bytes(damaged)
        assert message in says(*paths, *MERGE)
    save_file(tensors(200) | {"more": torch.zeros(1)}, paths[1])
    assert "1 tensors differ" in says(*paths, *MERGE)
    save_file(tensors(200) | {"layer.weight": torch.zeros(7, 6)}, paths[1])
    assert "layer.weight is F32 [7, 6]" in says(*paths, *MERGE)
    save_file(tensors(200, torch.float16), paths[1])
    assert "F16" in says(*paths, *MERGE)
    assert sorted(tmp_path.iterdir()) == before


def big(path: Path, megabytes: int) -> None:
    save_file({"w": torch.zeros(megabytes * 2**18), "v": torch.ones(1000)}, path)


def test_memory_is_that_of_a_block(tmp_path):
    """Three models of 300 MB each, in one tensor, in far less than one of them."""
    for step in STEPS:
        big(tmp_path / f"s{step}.safetensors", 300)
    script = (
        "import sys, re; from sidetrip.merge import main; main(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    paths = [str(tmp_path / f"s{step}.safetensors") for step in STEPS]
    command = [sys.executable, "-c", script, *paths, *MERGE, "--output", str(tmp_path / "merged.safetensors")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(printed.split()[-1]) / 1024 < 300
    with safe_open(tmp_path / "merged.safetensors", "pt") as file:
        assert file.get_slice("w").get_shape() == [300 * 2**18]


def test_a_kill_leaves_nothing_half_written(tmp_path):
    for step in STEPS:
        big(tmp_path / f"s{step}.safetensors", 100)
    output = tmp_path / "merged.safetensors"
    output.write_bytes(b"what was there")
    paths = [str(tmp_path / f"s{step}.safetensors") for step in STEPS]
    command = [sys.executable, "-m", "sidetrip.merge", *paths, *MERGE, "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".*")) and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert output.read_bytes() == b"what was there"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert not list(tmp_path.glob(".*"))
    assert load_file(output)["v"].tolist() == [1.0] * 1000
