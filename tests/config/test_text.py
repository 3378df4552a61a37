"""Text is UTF-8 in every locale; pictures that are packed are not looked for again."""

import dataclasses
import json
import os
import runpy
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from sidetrip.config import load_params, resolve
from sidetrip.console import command
from sidetrip.data.packed import load_pictures

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def prepared(folder: Path) -> str:
    """Configure and prepare pictures whose folders are named beyond ASCII, in ASCII; what the stages say."""
    for name in ("dvc.yaml", "src", "stages", "datasets"):
        (folder / name).symlink_to(ROOT / name)
    random = np.random.default_rng(0)
    for split, name in product(("größe", "test"), ("ant", "été")):
        (folder / "bügs" / split / name).mkdir(parents=True)
        for i in range(40):
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
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    said = ""
    environment = {**os.environ, "PYTHONPATH": "src", "SIDETRIP_WORKERS": "1", **ASCII}
    for stage in (["configure", "--variant", "smoke"], ["prepare_data", "-cd", "reports/smoke"]):
        command = [sys.executable, f"stages/{stage[0]}.py", *stage[1:]]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        said += result.stderr.decode("utf-8")
        assert result.returncode == 0, said
    return said


def test_what_is_written_is_utf_8_in_a_locale_that_knows_ascii_only(tmp_path):
    """In every file: that each is opened so, ruff sees to."""
    said = prepared(tmp_path)
    assert "sidetrip: 161 pictures found, 160 packed (80 for training, 80 for validation), 1 left out" in said
    config, packed = tmp_path / "reports/smoke/config.yaml", tmp_path / "runs/smoke/prepare_data"
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["data"]["name"] == "bügs λ"
    assert load_pictures(packed, "train").classes == ("ant", "été")
    left_out = (packed / "left_out.csv").read_text(encoding="utf-8")
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
