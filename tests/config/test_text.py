"""Text is UTF-8 in every locale, and params.yaml stays as it is when DVC writes an experiment's change into it."""

import ast
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from omegaconf import OmegaConf
from PIL import Image

from sidetrip.config import load_params, resolve
from sidetrip.console import command
from sidetrip.files import files_in

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("src", "stages", "tests", "datasets") for path in sorted((ROOT / folder).rglob("*.py"))]
OPENING = ("read_text", "write_text", "open", "fdopen", "TemporaryFile", "NamedTemporaryFile")
STARTING = ("run", "Popen", "check_output")
OTHERS = ("Image", "os", "tarfile", "gzip")  # whose `open` is no text file's
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a file as text, or the pipes of a program."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if name in STARTING:
        return any(keyword.arg in ("text", "universal_newlines") for keyword in call.keywords)
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    binary = any(isinstance(value, ast.Constant) and value.value in ("rb", "wb", "ab", "r+b") for value in values)
    return name in OPENING and owner not in OTHERS and not binary


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_with_an_encoding(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    text = [call for call in calls if opens_text(call)]
    assert [call.lineno for call in text if "encoding" not in {keyword.arg for keyword in call.keywords}] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("path.read_text()", True),
        ("open(path)", True),
        ("path.open('a')", True),
        ("subprocess.run(line, text=True)", True),
        ("path.open('rb')", False),
        ("Image.open(path)", False),
        ("subprocess.run(line)", False),
    ],
)
def test_what_opens_text(code, found):
    assert opens_text(ast.parse(code).body[0].value) == found


# params.yaml


@pytest.fixture
def params(tmp_path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def changed(path: Path) -> list[tuple[str, str]]:
    """Lines that differ from the committed params.yaml."""
    before, after = ((file / "params.yaml").read_text(encoding="utf-8").splitlines() for file in (ROOT, path.parent))
    assert len(before) == len(after)
    return [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]


def test_dvc_reads_and_writes_params_yaml_unchanged(params):
    with modify_yaml(params):
        pass
    assert changed(params) == []


def test_the_difference_of_an_experiment_is_the_experiment(params):
    momentum = OmegaConf.load(params).base.burn_in.momentum
    apply_overrides(params, ["base.burn_in.momentum=0.125"])
    assert changed(params) == [(f"    momentum: {momentum}", "    momentum: 0.125")]


def test_a_number_as_dvc_writes_it_is_a_number(params):
    """YAML 1.2 takes 1e-06 for a number, YAML 1.1 for a text."""
    apply_overrides(params, ["base.burn_in.weight_decay=0.000001"])
    assert "weight_decay: 1e-06\n" in params.read_text(encoding="utf-8")
    assert resolve(load_params(params), "smoke").burn_in.weight_decay == 1e-6


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("{steps: 40, batch_size: 16,", "{<<: {steps: 41, batch_size: 16}, steps: 40,"),
        lambda text: text.replace("train_samples: 100\n", "train_samples: 0x64\n"),
    ],
    ids=["byte order mark", "line ends of Windows", "merge key", "hexadecimal"],
)
def test_other_ways_to_write_the_same(params, change):
    text = params.read_text(encoding="utf-8")
    assert change(text) != text
    before = resolve(load_params(params), "smoke")
    params.write_bytes(change(text).encode())
    assert resolve(load_params(params), "smoke") == before


# Locales


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
    for stage in (["configure", "smoke", "reports/smoke/config.yaml"], ["prepare_data", "-cd", "reports/smoke"]):
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
    settings = OmegaConf.to_container(OmegaConf.structured(config))
    recorded = {"reports/smoke/config.yaml": {key: settings[key] for key in ("data", "model")}}
    lock = {"schema": "2.0", "stages": {"prepare_data@smoke": {"cmd": "python", "params": recorded}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    assert is_packed(config)
    config.data.stored = 20
    assert not is_packed(config)
    Path("dvc.lock").write_text("", encoding="utf-8")  # as a kill may leave it
    assert not is_packed(config)
