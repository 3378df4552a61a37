"""Experiments of DVC in copies of the workspace, on pictures that git ignores."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from smoke import clone, dvc

DATA = "    data: {source: folder, name: bugs, root: datasets/bugs, size: 8, shift: 1}\n    model: {width: 2}\n"
STAGE = "prepare_data@smoke"  # the last one that needs the pictures


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A committed variant on a folder of pictures."""
    folder = clone(tmp_path / "checkout", ("    model: {width: 2}\n", DATA))
    random = np.random.default_rng(0)
    for split, number in (("train", 150), ("test", 100)):
        for name in ("ant", "bee"):
            (folder / "datasets" / "bugs" / split / name).mkdir(parents=True)
            for i in range(number):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "datasets" / "bugs" / split / name / f"{i}.png")
    for command in (["config", "user.name", "t"], ["config", "user.email", "t@localhost"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message=start"], cwd=folder, check=True)
    assert not subprocess.check_output(["git", "ls-files", "datasets/bugs"], cwd=folder)
    return folder


def test_pictures_are_found_from_a_copy(checkout):
    """DVC runs queued experiments, and those with --temp, in a copy of the tree, which has no pictures."""
    changes = ["-S", "variants.smoke.data.size=7", "-S", "+variants.smoke.data.flip=false"]
    run = dvc(checkout, "exp", "run", "--temp", *changes, STAGE)
    assert run.returncode == 0, run.stderr
    assert "Running stage 'prepare_data@smoke'" in run.stdout
    assert "sidetrip: 500 pictures packed (300 for training, 200 for validation)" in run.stderr
