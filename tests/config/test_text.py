"""Text is UTF-8 in every locale; pictures that are packed are not looked for again."""

import dataclasses
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from sidetrip.config import load_params, resolve
from sidetrip.console import command
from sidetrip.files import files_in

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def prepared(folder: Path, **locale: str) -> str:
    """Configure and prepare pictures whose folders are named beyond ASCII; what the stages say."""
    for name in ("dvc.yaml", "src", "stages", "datasets"):
        (folder / name).symlink_to(ROOT / name)
    random = np.random.default_rng(0)
    for split in ("größe", "test"):
        for name, number in (("ant", 40), ("été", 40)):
            (folder / "bügs" / split / name).mkdir(parents=True)
            for i in range(number):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "bügs" / split / name / f"é{i}.png")
    (folder / "bügs" / "größe" / "été" / "λ.txt").write_text("no picture", encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    smoke = params["variants"]["smoke"] | {
        "data": {"source": "folder", "name": "bügs λ", "root": "bügs", "train_split": "größe", "size": 8, "shift": 1},
        "burn_in": params["variants"]["smoke"]["burn_in"] | {"batch_size": 4},
        "single_step": {"batch_sizes": [2, 4], "chunk": 2, "points": 5},
        "evaluation": {"train_samples": 50, "validation_samples": 0, "recalibration_samples": 20},
    }
    params |= {"active": ["smoke"], "variants": {"smoke": smoke}}
    text = yaml.safe_dump(params, allow_unicode=True)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    said = ""
    for stage in (["configure", "--variant", "smoke"], ["prepare_data", "-cd", "reports/smoke"]):
        result = subprocess.run(
            [sys.executable, f"stages/{stage[0]}.py", *stage[1:]],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": "src", "SIDETRIP_WORKERS": "1", **locale},
            capture_output=True,
            check=False,
        )
        said += result.stderr.decode("utf-8")
        assert result.returncode == 0, said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("runs", "reports")
        for path in files_in(folder / name)
    }


def test_the_same_bytes_in_a_locale_that_knows_ascii_only(tmp_path):
    for name in ("here", "ascii"):
        (tmp_path / name).mkdir()
    prepared(tmp_path / "here")
    said = prepared(tmp_path / "ascii", **ASCII)
    assert "sidetrip: 161 pictures found, 160 packed (80 for training, 80 for validation), 1 left out" in said
    assert contents(tmp_path / "ascii") == contents(tmp_path / "here")
    left_out = (tmp_path / "ascii/runs/smoke/prepare_data/left_out.csv").read_text(encoding="utf-8")
    assert left_out == "file,reason\ngröße/été/λ.txt,other kind of file\n"


def test_a_character_that_the_terminal_lacks_is_shown_by_its_number():
    code = "from sidetrip.console import command\nwith command(): print('\\u03bb \\u00f7 batch size')"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src", **ASCII}, capture_output=True, check=True
    )
    assert result.stdout == b"\\u03bb \\xf7 batch size\n"


def test_where_standard_output_is_no_stream_of_bytes_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with command():
        pass


# What is not read again


def test_pictures_that_are_packed_need_not_be_there(tmp_path, monkeypatch):
    """As in a clone whose results come from a remote cache: DVC skips prepare_data there."""
    monkeypatch.chdir(ROOT)
    is_packed = runpy.run_path("stages/configure.py")["is_packed"]
    params = load_params(Path("params.yaml"))
    config = resolve(params, "smoke")
    monkeypatch.chdir(tmp_path)
    assert not is_packed(config)
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    recorded = {"reports/smoke/config.yaml": {key: settings[key] for key in ("data", "model")}}
    lock = {"schema": "2.0", "stages": {"prepare_data@smoke": {"cmd": "python", "params": recorded}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    assert is_packed(config)
    assert not is_packed(dataclasses.replace(config, data=dataclasses.replace(config.data, stored=20)))
    Path("dvc.lock").write_text("", encoding="utf-8")  # as a kill may leave it
    assert not is_packed(config)
