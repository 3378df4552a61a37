"""Bad input is refused with one line that names it and the remedy, before anything is computed or written.

The stage scripts run in this process, in a folder of their own. Single settings: test_settings; the file: test_params.
"""

import copy
import os
import runpy
import shutil
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sidetrip.config import ConfigError, check_settings_folder
from sidetrip.data.packed import load_pictures
from sidetrip.runtime import devices, executor
from sidetrip.runtime.units import run_task

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
HERE = ["-cd", "reports/smoke"]
DOWNLOADED = {"data.source": "torchvision", "data.name": "cifar10", "data.root": "downloads", "data.size": 8}


def listing(folder: Path) -> list[str]:
    """Every file and folder with its contents' size, scratch/ aside."""
    found = []
    for where, folders, files in os.walk(folder):
        if Path(where) == folder and "scratch" in folders:
            folders.remove("scratch")
        found += [f"{where}/{name}/" for name in folders]
        found += [f"{where}/{name} {(Path(where) / name).stat().st_size}" for name in files]
    return sorted(found)


def without_progress(stderr: str) -> list[str]:
    """The lines of stderr, progress bars and the account at the end aside."""
    aside = ("picture/s", " pictures packed ")
    return [line for line in stderr.splitlines() if line and not any(text in line for text in aside)]


def run_here(tasks, config, bar) -> None:
    """In place of the process pool, which takes seconds to start; with it: tests/pipeline/test_robust.py."""
    for task in tasks:
        run_task(task)


class Place:
    """A folder to run stage scripts in, in this process, their units included."""

    def __init__(self, folder: Path, monkeypatch, capsys) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.params = copy.deepcopy({**PARAMS, "active": ["smoke"], "variants": {"smoke": PARAMS["variants"]["smoke"]}})
        monkeypatch.chdir(folder)
        monkeypatch.setattr(executor, "run_on_pool", run_here)
        for name in ("dvc.yaml", "src", "stages", "datasets"):  # what a stage's results are recorded to follow from
            (folder / name).symlink_to(ROOT / name)

    def change(self, **values) -> None:
        """Change values of the smoke variant (dotted keys) and write params.yaml."""
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            smoke = self.params if section == "runtime" else self.params["variants"]["smoke"]
            (smoke.setdefault(section, {}) if section else smoke)[name] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params, allow_unicode=True), encoding="utf-8")

    def run(self, stage: str, *arguments: str) -> tuple[int, list[str]]:
        """Exit status, and the lines that the stage says about itself; the rest of stderr is progress."""
        self._monkeypatch.setattr(sys, "argv", [f"stages/{stage}.py", *arguments])
        status: object = 0
        try:
            runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
        except SystemExit as exit_:
            status = exit_.code
        if isinstance(status, str):  # what Python itself does with it on the way out
            sys.stderr.write(f"{status}\n")
            status = 1
        return int(status or 0), without_progress(self._capsys.readouterr().err)

    def configure(self) -> tuple[int, list[str]]:
        return self.run("configure", "--variant", "smoke")

    def refuses(self, said: Sequence[str], stage: str = "configure", *overrides: str) -> str:
        """Run a stage and check that it says all of this in one line, fails, and writes nothing; the line."""
        if stage != "configure":
            assert self.configure() == (0, [])
        before = listing(self.folder)
        command = ("--variant", "smoke") if stage == "configure" else (*HERE, *overrides)
        status, lines = self.run(stage, *command)
        assert len(lines) == 1
        assert lines[0].startswith("sidetrip: ")
        assert [text for text in said if text not in lines[0]] == []
        assert status != 0
        assert listing(self.folder) == before
        return lines[0]


@pytest.fixture
def place(tmp_path, monkeypatch, capsys) -> Place:
    return Place(tmp_path, monkeypatch, capsys)


def test_all_active_variants_are_checked_where_none_is_named(place):
    place.change()
    assert place.configure() == place.run("configure") == (0, [])
    assert (place.folder / "reports/smoke/config.yaml").is_file()
    place.params["variants"]["../x"] = {}
    for active, arguments, said in (
        ([], [], "active = []: list some of ../x, smoke"),
        (["smoke"], ["--variant", "../x"], "variant = ../x: use lower-case letters, digits and _ (variant ../x)"),
    ):
        place.params["active"] = active
        place.change()
        before = listing(place.folder)
        assert place.run("configure", *arguments) == (2, [f"sidetrip: {said}"])
        assert listing(place.folder) == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data.source": "folder", "data.size": 8, "data.stored": 6}, ["data.stored = 6", "raise it"]),
        ({"data.source": "folder", "data.name": "bugs", "data.root": "x"}, ["data.root = x", "name the folder"]),
        ({"runtime.device": "cuda:99"}, ["runtime.device = cuda:99", "use auto or cpu"]),
        ({"runtime.device": "cpu", "model.precision": "tf32"}, ["model.precision = tf32", "use fp32 or bf16"]),
        ({"model.precision": "tf32"}, ["model.precision = tf32", "use fp32 or bf16"]),
        ({"model.name": "squeezenet1_1"}, ["model.name = squeezenet1_1", "3 channels", "use resnet8"]),
        ({"model.name": "squeezenet1_1", **DOWNLOADED}, ["model.name = squeezenet1_1", "8 × 8 pixels", "use another"]),
        (
            {"runtime.dask_address": "host:8786", "runtime.dask_scheduler_file": "scheduler.json"},
            ["runtime.dask_scheduler_file = scheduler.json", "set one of the two"],
        ),
        (
            {"runtime.executor": "dask", "runtime.dask_scheduler_file": "scheduler.json"},
            ["runtime.dask_scheduler_file = scheduler.json", "start the scheduler"],
        ),
    ],
)
def test_a_setting_that_the_machine_the_data_or_another_setting_do_not_allow(place, monkeypatch, values, said):
    """Networks on data that are not known yet: burn_in, in tests/checks/test_operations.py."""
    monkeypatch.setattr(devices, "gpu_count", lambda: 0)
    place.change(**values)
    assert place.refuses(said).count("smoke") == 1  # which of the active variants it is about


# Pictures


@pytest.fixture
def pictures(place) -> Path:
    """A place whose data are pictures/{train,test}/{ant,bee}/, twelve of 8 × 8 in each, as few as fit its settings."""
    place.change(
        **{
            "data.source": "folder",
            "data.name": "bugs",
            "data.root": "pictures",
            "data.size": 8,
            "burn_in.batch_size": 2,
            "single_step.batch_sizes": [2],
            "evaluation.train_samples": 24,
            "evaluation.validation_samples": 0,
            "evaluation.recalibration_samples": 24,
        }
    )
    random = np.random.default_rng(0)
    for split, name in product(("train", "test"), ("ant", "bee")):
        folder = place.folder / "pictures" / split / name
        folder.mkdir(parents=True)
        for i in range(12):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    return place.folder / "pictures"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def test_pictures_that_cannot_be_read(place, pictures, monkeypatch):
    """Those of all parts of both splits are counted together, the first named, and packed once they are mended."""
    monkeypatch.setattr("sidetrip.data.folders.PICTURES_A_SHARD", 5)
    damaged = [pictures / f"train/{name}/{i}.jpg" for name in ("ant", "bee") for i in range(4)]
    damaged.append(pictures / "test/ant/1.jpg")
    whole = {path: path.read_bytes() for path in damaged}
    for path in damaged:
        truncate(path)
    place.refuses(
        ["data.root = pictures", "9 of 48", "train/ant/0.jpg", "and 4 more", "mend or remove"], "prepare_data"
    )
    table = place.folder / "scratch/smoke/prepare_data/unreadable.csv"
    assert [line.partition(",")[0] for line in table.read_text(encoding="utf-8").splitlines()] == [
        "file", *(str(path.relative_to(place.folder)) for path in damaged)
    ]  # fmt: skip
    (kept,) = table.parent.glob("*/unit_train_00004*/train/*")  # what was packed is neither packed again nor copied
    before = kept.stat().st_ino
    for path, content in whole.items():
        path.write_bytes(content)
    assert place.run("prepare_data", *HERE) == (0, [])
    assert not table.exists()
    assert (place.folder / "runs/smoke/prepare_data/train" / kept.name).stat().st_ino == before


def test_more_samples_than_a_folder_holds(place, pictures):
    """What else depends on their number: test_settings, with data sets whose numbers are known."""
    place.change(**{"evaluation.validation_samples": 25})
    place.refuses(["evaluation.validation_samples", "set 0"], "prepare_data")


@pytest.mark.parametrize("stage", ["burn_in", "single_step"])
def test_more_samples_than_were_packed_when_the_settings_asked_for_fewer(place, pictures, stage):
    """Packing does not run again when they change."""
    assert place.configure() == (0, [])
    assert place.run("prepare_data", *HERE) == (0, [])
    place.change(**{"evaluation.validation_samples": 25})
    place.refuses(["evaluation.validation_samples = 25", "24 samples", "set 0"], stage)
    place.change(**{"evaluation.validation_samples": 0, "burn_in.batch_size": 13, "single_step.batch_sizes": [13]})
    place.refuses(["burn_in.batch_size = 13", "24 training samples"], stage)


def test_pictures_that_are_packed_need_not_be_there(place, pictures):
    """As in a clone whose results come from a remote cache: DVC skips prepare_data there."""
    assert place.configure() == (0, [])
    lock, config = place.folder / "dvc.lock", "reports/smoke/config.yaml"
    settings = yaml.safe_load((place.folder / config).read_text(encoding="utf-8"))
    shutil.rmtree(pictures)
    place.refuses(["data.root = pictures", "no such folder"])
    recorded = {"params": {config: {key: settings[key] for key in ("data", "model")}}}
    lock.write_text(yaml.safe_dump({"stages": {"prepare_data@smoke": recorded}}), encoding="utf-8")
    assert place.configure() == (0, [])
    place.change(**{"data.flip": False})
    place.refuses(["data.root = pictures", "no such folder"])
    lock.write_text("", encoding="utf-8")  # as a kill may leave it
    place.change(**{"data.flip": settings["data"]["flip"]})
    place.refuses(["data.root = pictures", "no such folder"])


# Folders and the command line


def test_another_folder_than_the_root_of_the_repository(place):
    place.refuses(["params.yaml", "run from the root"])


@pytest.mark.parametrize(("blocked", "stage"), [("reports", "configure"), ("runs", "prepare_data")])
def test_a_file_where_a_folder_should_be(place, pictures, blocked, stage):
    (place.folder / blocked).write_text("not a folder", encoding="utf-8")
    place.refuses([f"{blocked}/smoke", "cannot be written", "make room"], stage)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("burn_in.rate=fast", ["burn_in.rate = 'fast'", "use a number"]),
        ("+burn_in.stps=3", ["burn_in.stps: unknown key"]),
        ("burn_in.raet=0.1", ["burn_in.raet: unknown key", "batch_size, rate,"]),
        ("burn_in.rate.x=1", ["burn_in.rate.x: unknown key", "burn_in.rate is a value"]),
        ("foo=1", ["foo: unknown key", "allowed in a variant are seeds"]),
        ("variant=fashion_mnist", ["variant: unknown key"]),  # it would write into another one's folder
        ("runtime=null", ["runtime = null", "use a mapping"]),
        ("runtime=foo", ["runtime = foo", "use a mapping"]),
        ("~runtime", ["~runtime: sets no single value", "KEY=VALUE"]),
        ("~runtime.device", ["~runtime.device: sets no single value"]),
        ("seeds=1,2", ["seeds=1,2: sets no single value"]),
        ("a@b=c", ["a@b=c: sets no single value"]),
        ("seeds=[1", ["seeds=[1: no viable alternative", "KEY=VALUE"]),
        ("burn_in.rate=${nosuch}", ["burn_in.rate", "write the value"]),
    ],
)
def test_overrides_of_a_stage_are_checked_too(place, override, said):
    place.change()
    place.refuses(said, "prepare_data", override)


COMMAND_LINES = [
    ([], "no settings; name the folder"),
    (["-cd"], "expected one argument; use -cd"),
    (["-cd", "reports/\x1b[2J"], r"reports/\x1b[2J/config.yaml: missing; make it"),
    (["--config-dir=reports/none"], "reports/none/config.yaml: missing; make it"),
    ([*HERE, "--multirun", "seeds=[1],[2]"], "--multirun; use -cd"),
    ([*HERE, "--config-name", "other"], "--config-name; use -cd"),
    ([*HERE, "hydra.mode=MULTIRUN"], "hydra: unknown key; allowed in a variant are"),
    ([*HERE, "+hydra.searchpath=[x]"], "hydra: unknown key; allowed in a variant are"),
    ([*HERE, "--cfg", "foo"], "invalid choice: 'foo'"),
]


def test_a_command_line_that_names_no_settings_or_asks_for_more(place):
    place.change()
    assert place.configure() == (0, [])
    for arguments in (
        [*HERE, "seeds=[1]"],
        ["seeds=[1]", *HERE, "++model.width=2"],
        [*HERE, "--help"],
        ["--cfg", "job", *HERE],
    ):
        check_settings_folder(arguments)
    for arguments, said in COMMAND_LINES:
        with pytest.raises(ConfigError) as error:
            check_settings_folder(arguments)
        assert said in str(error.value)


def test_names_need_not_be_ascii_and_what_is_left_out_is_listed(place, pictures):
    root = pictures.rename(place.folder / "bügs")
    train, test = (root / "train").rename(root / "größe"), root / "test"
    for split in (train, test):
        (split / "bee").rename(split / "été")
    (train / "été" / "λ.txt").write_text("no picture", encoding="utf-8")
    place.change(**{"data.name": "bügs λ", "data.root": "bügs", "data.train_split": "größe"})
    assert place.configure() == place.run("prepare_data", *HERE) == (0, [])
    config, packed = place.folder / "reports/smoke/config.yaml", place.folder / "runs/smoke/prepare_data"
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["data"]["name"] == "bügs λ"
    assert load_pictures(packed, "train").classes == ("ant", "été")
    left_out = (packed / "left_out.csv").read_text(encoding="utf-8")
    assert left_out == "file,reason\ngröße/été/λ.txt,other kind of file\n"
