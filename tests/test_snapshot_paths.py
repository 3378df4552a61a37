"""Which snapshots are meant, and of which steps they are."""

import re
from pathlib import Path

import pytest

from sidetrip.files import FileError
from sidetrip.snapshot_paths import passed_over, snapshots_in, sorted_snapshots, step_of


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step_000500.safetensors", 500),
        ("llama-7b-step-500.safetensors", 500),
        ("epoch=3-step=500.safetensors", 500),
        ("checkpoint-500/model.safetensors", 500),
        ("checkpoint-500/model.safetensors.index.json", 500),
        ("checkpoint-500/unet/diffusion_pytorch_model.safetensors", 500),
        ("epoch_0_step_9/model/consolidated", 9),
        ("checkpoint-500/model_v2.safetensors", 500),
        ("iter_0000500", 500),
        ("500.safetensors", 500),
        ("run-1/500.safetensors", 500),
        ("model.safetensors", "has no step in its name"),
        ("run3-v2.safetensors", "which number of run3-v2 is its step is not clear"),
        ("step-10k.safetensors", "not clear"),
        ("checkpoint_7_5500.safetensors", "not clear"),
        ("step=1.5e4.safetensors", "not clear"),
        ("checkpoint-10_000", "not clear"),
        ("iter-3-step-500", "not clear"),
        ("checkpoint-500/model-00001-of-00003.safetensors", "is one of several shards; name its folder"),
    ],
)
def test_steps_of_names(name, step):
    path = Path("/runs", name)
    if isinstance(step, int):
        assert step_of(path) == step
    else:
        with pytest.raises(FileError, match=step):
            step_of(path)


def test_a_folder_of_snapshots_is_all_of_them_by_step(tmp_path):
    for name in ("checkpoint-900/model.safetensors", "checkpoint-1000/model.safetensors.index.json"):
        (tmp_path / "run" / name).parent.mkdir(parents=True)
        (tmp_path / "run" / name).touch()
    for name in ("model.safetensors", "step_80.safetensors", "step_8.log"):
        (tmp_path / "run" / name).touch()
    found = [path.name for path in snapshots_in(tmp_path / "run")]
    assert found == ["step_80.safetensors", "checkpoint-900", "checkpoint-1000"]
    (tmp_path / "run" / "checkpoint-1100").mkdir()  # of another format
    (tmp_path / "run" / "checkpoint-1100" / "pytorch_model.bin").touch()
    (tmp_path / "run" / "step_90.pt").touch()
    over = [path.name for path in passed_over(tmp_path / "run")]
    assert over == ["checkpoint-1100", "model.safetensors", "step_90.pt"]
    alone = tmp_path / "run" / "checkpoint-900"
    assert passed_over(alone) == []
    assert snapshots_in(alone) == [alone]
    assert snapshots_in(alone / "model.safetensors") == [alone / "model.safetensors"]


def test_a_folder_without_safetensors_is_told_of_as_one(tmp_path):
    with pytest.raises(FileError, match="holds no safetensors"):
        sorted_snapshots([tmp_path], None)
    (tmp_path / "step_10.pt").touch()
    (tmp_path / "step_20.pt").touch()
    with pytest.raises(FileError, match=r"holds no safetensors.*docs/merge.md"):
        sorted_snapshots([tmp_path], [10])


def test_a_path_is_of_the_step_of_what_it_stands_for(tmp_path, monkeypatch):
    here = tmp_path / "exp_step-250" / "checkpoint-300"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert step_of(Path()) == step_of(Path("../checkpoint-300")) == step_of(Path("x/..")) == 300


def test_a_folder_may_number_its_snapshots_and_one_alone_is_told_of(tmp_path):
    for step in (100, 200):
        (tmp_path / str(step)).mkdir()
        (tmp_path / str(step) / "model.safetensors").touch()
        if step == 100:
            with pytest.raises(FileError, match="holds one snapshot, 100; an average needs two"):
                sorted_snapshots([tmp_path], None)
    assert list(sorted_snapshots([tmp_path], None)) == [100, 200]


@pytest.mark.parametrize(("steps", "said"), [([0, 100, 100], "step 100: is given twice"), ([0, 2**53 + 1], "2^53")])
def test_steps_that_cannot_be_are_refused(steps, said):
    with pytest.raises(FileError, match=re.escape(said)):
        sorted_snapshots([], steps)


def test_a_folder_whose_order_is_not_clear_is_to_be_named_one_by_one(tmp_path):
    for name in ("checkpoint_7_5500", "checkpoint_7_5600"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    with pytest.raises(FileError, match="give the steps with --steps"):
        sorted_snapshots([tmp_path], None)
    with pytest.raises(FileError, match="name each, in that of --steps"):
        sorted_snapshots([tmp_path], [5500, 5600])
    assert list(sorted_snapshots(sorted(tmp_path.iterdir()), [5500, 5600])) == [5500, 5600]
