"""Bad input is refused with one line, before anything is computed or written.

Each row: what is wrong, and the whole message. The stage scripts run in this process, in a folder of their own.
"""

import copy
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from omegaconf import OmegaConf
from PIL import Image

from sidetrip.config import ConfigError, check_settings_folder
from sidetrip.config.known import SOURCES
from sidetrip.files import seal
from sidetrip.runtime import devices, executor
from sidetrip.runtime import stage as on_stage
from sidetrip.runtime.units import run_task

ROOT = Path(__file__).parents[2]
PARAMS: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "params.yaml"))
INF, NAN = float("inf"), float("nan")
FIT = (
    "between the last branch point (30) and the end of the run (40); shorten it, branch earlier or raise burn_in.steps"
)
IN_BURN_IN = "steps, batch_size, rate, schedule, momentum, weight_decay, snapshot_every"
IN_A_VARIANT = (
    "seeds, experiments, data, model, burn_in, branch, evaluation, single_step, side_trips, quadratic, fixed_batch, "
    "alignment, forecast, claims"
)
MEND = "mend or remove them, scratch/smoke/prepare_data/unreadable.csv lists them all"
TWO = "BatchNorm needs at least 2 samples"

WRONG_TYPES = [
    ("burn_in.stps", 3, f"burn_in.stps: unknown key; allowed in burn_in are {IN_BURN_IN}"),
    ("brun_in", {"steps": 3}, f"brun_in: unknown key; allowed in a variant are {IN_A_VARIANT}"),
    ("variant", "other", f"variant: unknown key; allowed in a variant are {IN_A_VARIANT}"),
    ("burn_in", 3, "burn_in = 3: use a mapping of keys to values"),
    ("burn_in", None, "burn_in = null: use a mapping of keys to values"),
    ("burn_in", [40], "burn_in = [40]: use a mapping of keys to values"),
    ("burn_in.steps", "many", "burn_in.steps = 'many': use a whole number"),
    ("burn_in.steps", "40", "burn_in.steps = '40': use a whole number"),
    ("burn_in.steps", True, "burn_in.steps = true: use a whole number"),
    ("burn_in.steps", None, "burn_in.steps = null: use a whole number"),
    ("burn_in.steps", 40.0, "burn_in.steps = 40.0: use a whole number"),
    ("burn_in.steps", {"a": 1}, "burn_in.steps = {'a': 1}: use a whole number"),
    ("burn_in.rate", True, "burn_in.rate = true: use a number"),
    ("data.flip", 1, "data.flip = 1: use true or false"),
    ("data.name", 3, "data.name = 3: use a text"),
    ("branch.points", 20, "branch.points = 20: use a list of whole numbers"),
    ("branch.points", {"a": 1}, "branch.points = {'a': 1}: use a list of whole numbers"),
    ("branch.points", [20, "x"], "branch.points = 'x': use a whole number"),
    ("branch.points", [20, True], "branch.points = true: use a whole number"),
    ("quadratic.rates", [0.1, None], "quadratic.rates = null: use a number"),
    ("burn_in.steps", "${nosuch}", "burn_in.steps: Interpolation key 'nosuch' not found; write the value itself"),
]
OUT_OF_RANGE = [
    ("seeds", [], "seeds = []: list at least 1"),
    ("seeds", [1, 1], "seeds = [1, 1]: list each once"),
    ("seeds", [-1], "seeds = -1: use 0 to 4294967295"),
    ("data.source", "web", f"data.source = web: use one of {', '.join(SOURCES)}"),
    ("data.name", "mnist", "data.name = mnist: use one of fashion_mnist with data.source = embedded"),
    ("data.name", "a\nb", "data.name = a b: use letters, digits, spaces and _ . + - (at most 100)"),
    ("data.root", "", "data.root = '': name a folder"),
    ("data.train_split", "/etc", "data.train_split = /etc: name a folder in data.root"),
    ("data.size", 28, "data.size = 28: the embedded pictures are 14 × 14; set 14, or use a folder"),
    ("data.size", 2, "data.size = 2: use 4 to 1024"),
    ("data.stored", 12, "data.stored = 12: the embedded pictures are 14 × 14; set 0"),
    ("data.stored", 4096, "data.stored = 4096: use 0 to 2048"),
    ("data.crop", 1.5, "data.crop = 1.5: use 0 to 1"),
    ("data.crop", NAN, "data.crop = nan: use 0 to 1"),
    (
        "data.crop",
        0.08,
        "data.crop = 0.08: random crops are instead of moves (data.shift = 2); set one of the two to 0",
    ),
    ("data.shift", 14, "data.shift = 14: use less than the 14 pixels of data.size"),
    ("data.shift", -1, "data.shift = -1: use 0 to 1023"),
    (
        "model.name",
        "ResNet",
        "model.name = ResNet: not the name of a model; use resnet8, resnet20 or a torchvision one",
    ),
    ("model.name", "resnet9", "model.name = resnet9: unknown model; use resnet8, resnet20 or a torchvision one"),
    ("model.width", 0, "model.width = 0: use 1 to 1024"),
    ("model.stem", "vgg", "model.stem = vgg: use one of cifar, imagenet"),
    ("model.precision", "fp8", "model.precision = fp8: use one of fp32, tf32, bf16"),
    ("burn_in.steps", 0, "burn_in.steps = 0: use 1 to 100000000"),
    ("burn_in.steps", 10**12, "burn_in.steps = 1000000000000: use 1 to 100000000"),
    ("burn_in.batch_size", 1, f"burn_in.batch_size = 1: use 2 to 1048576; {TWO}"),
    (
        "burn_in.batch_size",
        15,
        "single_step.batch_sizes = [8, 16, 32]: burn_in.batch_size (15) is to be one of them: verdicts are taken there",
    ),
    ("burn_in.rate", -0.1, "burn_in.rate = -0.1: use more than 0 and at most 100"),
    ("burn_in.rate", NAN, "burn_in.rate = nan: use more than 0 and at most 100"),
    ("burn_in.rate", INF, "burn_in.rate = inf: use more than 0 and at most 100"),
    ("burn_in.momentum", 1.0, "burn_in.momentum = 1.0: use at least 0 and less than 1"),
    ("burn_in.weight_decay", -1e-4, "burn_in.weight_decay = -0.0001: use at least 0 and less than 1"),
    ("burn_in.schedule", "step", "burn_in.schedule = step: use one of constant, linear, cosine"),
    ("burn_in.snapshot_every", 0, "burn_in.snapshot_every = 0: use 1 to 100000000"),
    ("branch.points", [20], "branch.points = [20]: list at least 2; fixed_batch compares neighbouring branch points"),
    ("branch.points", [30, 20], "branch.points = [30, 20]: list them in ascending order"),
    ("branch.points", [-1, 20], "branch.points = -1: use 0 to 100000000"),
    ("branch.points", [20, 50], "branch.points = 50: beyond the burn-in of 40 steps; lower it or raise burn_in.steps"),
    ("evaluation.batch_size", 0, "evaluation.batch_size = 0: use 1 to 1048576"),
    (
        "evaluation.train_samples",
        60_001,
        "evaluation.train_samples = 60001: the training split has 60000 pictures; lower it",
    ),
    (
        "evaluation.recalibration_samples",
        60_001,
        "evaluation.recalibration_samples = 60001: the training split has 60000 pictures; lower it",
    ),
    ("single_step.batch_sizes", [], "single_step.batch_sizes = []: list at least 1"),
    ("single_step.batch_sizes", [1, 16], f"single_step.batch_sizes = 1: use 2 to 1048576; {TWO}"),
    (
        "single_step.batch_sizes",
        [16, 40],
        "single_step.batch_sizes = 40: sizes above single_step.chunk (16) must be multiples of it",
    ),
    (
        "single_step.batch_sizes",
        [16, 64_000],
        "single_step.batch_sizes = 64000: 10 held-out and 1 own batches exceed the 60000 training pictures; lower one",
    ),
    ("single_step.held_out_batches", 3, "single_step.held_out_batches = 3: use 10 to 10000"),
    ("single_step.points", 4, "single_step.points = 4: use 5 to 10000"),
    ("single_step.widest", INF, "single_step.widest = inf: use more than 0 and at most 1000"),
    ("single_step.zoom", 5.0, "single_step.zoom = 5.0: must be below single_step.widest (2)"),
    ("side_trips.windows", [1, 11], f"side_trips.windows = 11: longer than the 10 steps {FIT}"),
    ("side_trips.ema_steps", 99, f"side_trips.ema_steps = 99: longer than the 10 steps {FIT}"),
    ("side_trips.ema_newest", 0, "side_trips.ema_newest = 0.0: use more than 0 and at most 1"),
    ("side_trips.every", 41, "side_trips.every = 41: use at most burn_in.steps (40)"),
    ("fixed_batch.steps", 2, "fixed_batch.steps = 2: use 3 to 10000; the third step is judged"),
    ("fixed_batch.widest", 0, "fixed_batch.widest = 0.0: use more than 0 and at most 1000"),
    ("side_trips.two_point_windows", [1, 11], f"side_trips.two_point_windows = 11: longer than the 10 steps {FIT}"),
    ("alignment.steps", 11, f"alignment.steps = 11: longer than the 10 steps {FIT}"),
    ("alignment.every", 11, "alignment.every = 11: use at most alignment.steps (10)"),
    (
        "forecast.windows",
        [10],
        "forecast.windows = 10: use a multiple of burn_in.snapshot_every (15): a snapshot lies at either end",
    ),
    (
        "forecast.windows",
        [15, 30],
        "forecast.windows = 30: longer than the 15 steps between the last cool-down's beginning (25) and the end of "
        "the run (40); shorten it, begin earlier or raise burn_in.steps",
    ),
    ("forecast.begins", [5], "forecast.begins = [5]: list at least 2; a forecast learns from earlier cool-downs"),
    (
        "forecast.intervals",
        [4],
        "forecast.intervals = 4: does not divide the widest of forecast.windows (15); use a divisor of it",
    ),
    ("quadratic.replicas", 201, "quadratic.replicas = 201: use a multiple of quadratic.groups (20)"),
    (
        "quadratic.dimension",
        1000,
        "quadratic.dimension = 1000: its square times quadratic.replicas (200) must be at most 100000000",
    ),
    ("quadratic.rates", [0.1], "quadratic.rates = [0.1]: list at least 2; a slope needs two rates"),
    ("quadratic.rates", [0.1, 0.5], "quadratic.rates = 0.5: use at least 1e-05 and less than 0.5"),
    ("quadratic.window", 3, "quadratic.window = 3: use 4 to 100000"),
    ("quadratic.slow", 2.0, "quadratic.slow = 2.0: must be below quadratic.fast (1)"),
    ("quadratic.small_rate", 0.05, "quadratic.small_rate = 0.05: must be below quadratic.large_rate (0.05)"),
    ("quadratic.large_rate", 2, "quadratic.large_rate = 2.0: unstable: times quadratic.fast (1) it must be below 2"),
    ("quadratic.every", 1201, "quadratic.every = 1201: use at most quadratic.steps (1200)"),
    ("claims.level", 0.5, "claims.level = 0.5: use more than 0 and less than 0.5"),
    ("claims.confidence", 95, "claims.confidence = 95.0: use more than 0 and less than 1"),
    ("claims.quadratic_own", 1.5, "claims.quadratic_own = 1.5: use at least 0 and less than 1"),
    ("claims.distance_rank", NAN, "claims.distance_rank = nan: use more than -1 and at most 1"),
    ("claims.single_step_gap", -INF, "claims.single_step_gap = -inf: use more than 0 and at most 10"),
    ("runtime.device", "tpu", "runtime.device = tpu: use auto, cpu, cuda or cuda:N"),
    ("runtime.workers", -1, "runtime.workers = -1: use 0 to 1024; 0 is one a core, or one a GPU"),
    ("runtime.workers", 10**5, "runtime.workers = 100000: use 0 to 1024; 0 is one a core, or one a GPU"),
    ("runtime.processes", 0, "runtime.processes = 0: use 1 to 1024"),
    (
        "runtime.processes",
        3,
        "runtime.processes = 3: burn_in.batch_size (16) is not divisible by it; use a divisor, or another batch size",
    ),
    ("runtime.executor", "slurm", "runtime.executor = slurm: use one of processes, dask"),
    (
        "runtime.dask_address",
        "cluster",
        "runtime.dask_address = cluster: use HOST:PORT of a scheduler, or '' for workers here",
    ),
    ("runtime.dask_scheduler_file", "a\nb", "runtime.dask_scheduler_file = a b: name a file on one line"),
]
SMOKE = "base: {}\nvariants: {smoke: {}}\n"
BAD_FILES = [
    ("active: [smoke\nbase: {}\n", "params.yaml, line 2: not valid YAML (expected ',' or ']', but got ':'); mend it"),
    ("active: [smoke]\nactive: [smoke]\n", "params.yaml, line 2: not valid YAML (found duplicate key active); mend it"),
    (
        "active: " + "[" * 5000 + "]" * 5000,
        "params.yaml: cannot be read (nested too deeply, or an alias of what it stands in); mend it",
    ),
    (
        "active: &a [*a]\n",
        "params.yaml: cannot be read (nested too deeply, or an alias of what it stands in); mend it",
    ),
    ("a: 0040\n", "params.yaml, line 1: 0040 is another number, or none, to DVC; write it in plain digits"),
    (
        "a:\n  - 1\n  - 1_000\n",
        "params.yaml, line 3: 1_000 is another number, or none, to DVC; write it in plain digits",
    ),
    ("a: 1:40\n", "params.yaml, line 1: 1:40 is another number, or none, to DVC; write it in plain digits"),
    ("a: -0b11\n", "params.yaml, line 1: -0b11 is another number, or none, to DVC; write it in plain digits"),
    ("\x00", "params.yaml: cannot be read (special characters are not allowed); mend it"),
    ("- smoke\n", "params.yaml: holds no mapping; it needs the keys active, base, variants"),
    ("smoke\n", "smoke: unknown key in params.yaml; allowed are active, base, variants, runtime"),
    ("7\n", "params.yaml: cannot be read (Invalid loaded object type: int); mend it"),
    ("", "variants = null: use a mapping of names to what each changes"),
    ("active: [smoke]\nvariants: [smoke]\n", "variants = ['smoke']: use a mapping of names to what each changes"),
    ("variants: {1: {}}\n", "variants = 1: the name of a variant is a text; put it in quotes"),
    (SMOKE, "active = null: list some of smoke"),
    (f"active: []\n{SMOKE}", "active = []: list some of smoke"),
    (f"active: smoke\n{SMOKE}", "active = smoke: list some of smoke"),
    (f"active: {{smoke: 1}}\n{SMOKE}", "active = {'smoke': 1}: list some of smoke"),
    (f"active: [smoke, nosuch]\n{SMOKE}", "active = nosuch: no such variant; list some of smoke"),
    (f"active: [[smoke]]\n{SMOKE}", "active = ['smoke']: no such variant; list some of smoke"),
    (f"active: [smoke, smoke]\n{SMOKE}", "active = smoke: list each variant once"),
    (f"activ: [smoke]\n{SMOKE}", "activ: unknown key in params.yaml; allowed are active, base, variants, runtime"),
    ("active: [smoke]\nbase: 3\nvariants: {smoke: {}}\n", "base = 3: use a mapping of keys to values"),
    ("active: [smoke]\nbase: {}\nvariants: {smoke: 7}\n", "variants.smoke = 7: use a mapping of keys to values"),
    (
        "active: [other]\nbase: {}\nvariants: {other: {}}\n",
        "variants.smoke: not in params.yaml; there are other",
    ),
]


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
    """The lines of stderr, progress bars and the account at the end aside; without the reasons why a picture is bad."""
    aside = ("picture/s", " pictures found, ")
    lines = [line for line in stderr.splitlines() if line and not any(text in line for text in aside)]
    reason = r"(\.(?:jpg|png)): (?:empty|not a picture, or damaged|damaged: [^(,)]*(?:\([^)]*\))?)"
    return [re.sub(reason, r"\1", line) for line in lines]


def run_here(tasks, config, bar) -> None:
    """In place of the process pool, which takes seconds to start; test_a_process_of_its_own does without."""
    for task in tasks:
        run_task(task)


class Place:
    """A folder to run stage scripts in, in this process, their units included."""

    def __init__(self, folder: Path, monkeypatch, capsys) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.params = copy.deepcopy({**PARAMS, "active": ["smoke"], "variants": {"smoke": PARAMS["variants"]["smoke"]}})
        monkeypatch.chdir(folder)
        monkeypatch.setattr(executor, "run_on_pool", run_here)
        monkeypatch.setattr(on_stage, "end_at_once_when_asked", lambda name: None)  # signals are the tests' own
        for name in ("dvc.yaml", "src", "stages"):  # what a stage's results are recorded to follow from
            (folder / name).symlink_to(ROOT / name)
        (folder / "datasets" / "fashion_mnist_14").mkdir(parents=True)

    def change(self, **values) -> None:
        """Change values of the smoke variant (dotted keys) and write params.yaml."""
        for key, value in values.items():
            section, _, name = key.rpartition(".")
            smoke = self.params if section == "runtime" else self.params["variants"]["smoke"]
            (smoke.setdefault(section, {}) if section else smoke)[name] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params), encoding="utf-8")

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
        return self.run("configure", "smoke", "reports/smoke/config.yaml")

    def prepare(self, *overrides: str) -> tuple[int, list[str]]:
        """Configure, which has to succeed, then prepare_data."""
        assert self.configure() == (0, [])
        return self.run("prepare_data", "-cd", "reports/smoke", *overrides)

    def refuses(self, message: str, stage: str = "configure", *overrides: str) -> None:
        """Run a stage and check that it says exactly this, fails, and writes nothing."""
        if stage == "prepare_data":
            assert self.configure() == (0, [])
        before = listing(self.folder)
        status, lines = (
            self.configure() if stage == "configure" else self.run(stage, "-cd", "reports/smoke", *overrides)
        )
        assert lines == [f"sidetrip: {message}"]
        assert status != 0
        assert listing(self.folder) == before


@pytest.fixture
def place(tmp_path, monkeypatch, capsys) -> Place:
    return Place(tmp_path, monkeypatch, capsys)


def test_the_place_itself_is_good(place):
    place.change()
    assert place.configure() == (0, [])
    assert (place.folder / "reports/smoke/config.yaml").is_file()
    assert place.run("configure") == (0, [])


@pytest.mark.parametrize(("key", "value", "message"), WRONG_TYPES)
def test_a_value_of_the_wrong_type(place, key, value, message):
    place.change(**{key: value})
    place.refuses(f"variants.smoke.{message}")


@pytest.mark.parametrize(("key", "value", "message"), OUT_OF_RANGE)
def test_a_value_that_does_not_fit(place, key, value, message):
    place.change(**{key: value})
    place.refuses(message)


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_params_yaml_itself(place, text, message):
    (place.folder / "params.yaml").write_text(text, encoding="utf-8")
    place.refuses(message)


def test_checking_all_active_variants_stops_at_an_empty_list(place):
    place.params["active"] = []
    place.change()
    assert place.run("configure") == (1, ["sidetrip: active = []: list some of smoke"])


def test_a_hole(place):
    del place.params["base"]["burn_in"]["momentum"]
    del place.params["base"]["side_trips"]["ema_newest"]
    del place.params["variants"]["smoke"]["side_trips"]["ema_newest"]
    place.change()
    place.refuses("variant smoke: burn_in.momentum, side_trips.ema_newest not set; set it in base or in the variant")


# Pictures


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(place) -> Path:
    """A place whose data are pictures/{train,test}/{ant,bee}/, four JPEG pictures of 8 × 8 in each."""
    place.change(
        **{
            "data.source": "folder",
            "data.name": "bugs",
            "data.root": "pictures",
            "data.size": 8,
            "evaluation.validation_samples": 0,
        }
    )
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            for i in range(4):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                write(place.folder / "pictures" / split / name / f"{i}.jpg", pixels)
    return place.folder / "pictures"


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def replace_by_empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder", encoding="utf-8")


BAD_PICTURES = [
    (
        "configure",
        shutil.rmtree,
        "data.root = pictures: no such folder; name the folder that holds <split>/<class>/ folders of pictures",
    ),
    (
        "configure",
        replace_by_file,
        "data.root = pictures: a file; name the folder that holds <split>/<class>/ folders of pictures",
    ),
    (
        "prepare_data",
        lambda p: (p / "train").rename(p / "training"),
        "data.train_split = train: no folder pictures/train; there is test, training in pictures",
    ),
    (
        "prepare_data",
        lambda p: shutil.rmtree(p / "test"),
        "data.validation_split = test: no folder pictures/test; there is train in pictures",
    ),
    (
        "prepare_data",
        lambda p: replace_by_file(p / "train"),
        "data.train_split = train: no folder pictures/train; there is test in pictures",
    ),
    (
        "prepare_data",
        lambda p: shutil.rmtree(p / "train" / "bee"),
        "data.train_split = train: pictures/train holds 1 class folders (ant); it needs at least 2",
    ),
    (
        "prepare_data",
        lambda p: replace_by_empty(p / "train"),
        "data.train_split = train: pictures/train holds 0 class folders; it needs at least 2",
    ),
    (
        "prepare_data",
        lambda p: empty(p / "test" / "bee"),
        "data.validation_split = test: 1 of 2 classes in pictures/test hold no picture file (bee); fill or remove them",
    ),
    (
        "prepare_data",
        lambda p: [(p / "train" / f"class_{i}").mkdir() for i in range(7)],
        "data.train_split = train: 7 of 9 classes in pictures/train hold no picture file "
        "(class_0, class_1, class_2, class_3, class_4 and 2 more); fill or remove them",
    ),
    (
        "prepare_data",
        lambda p: (p / "test" / "bee").rename(p / "test" / "fly"),
        "data.root = pictures: the splits' classes differ: bee only in train; fly only in test; make them equal",
    ),
    (
        "prepare_data",
        lambda p: shutil.copytree(p / "test" / "bee", p / "test" / "cow"),
        "data.root = pictures: the splits' classes differ: cow only in test; make them equal",
    ),
    (
        "prepare_data",
        lambda p: (p / "train" / "ant" / "2.jpg").write_text("no picture", encoding="utf-8"),
        f"data.train_split = train: 1 of 8 pictures cannot be read (pictures/train/ant/2.jpg); {MEND}",
    ),
    (
        "prepare_data",
        lambda p: truncate(p / "test" / "bee" / "1.jpg"),
        f"data.validation_split = test: 1 of 8 pictures cannot be read (pictures/test/bee/1.jpg); {MEND}",
    ),
    (
        "prepare_data",
        lambda p: [(p / "train" / "bee" / f"x{i}.png").write_bytes(b"") for i in range(7)],
        "data.train_split = train: 7 of 15 pictures cannot be read (pictures/train/bee/x0.png, "
        "pictures/train/bee/x1.png, pictures/train/bee/x2.png, pictures/train/bee/x3.png, pictures/train/bee/x4.png "
        f"and 2 more); {MEND}",
    ),
    (
        "prepare_data",
        lambda p: None,
        "evaluation.train_samples = 100: the training split has 8 pictures; lower it",
    ),
]


@pytest.mark.parametrize(("stage", "spoil", "message"), BAD_PICTURES)
def test_folders_of_pictures(place, pictures, stage, spoil, message):
    spoil(pictures)
    place.refuses(message, stage)


def test_packed_pictures_that_are_too_small(place, pictures):
    place.change(**{"data.stored": 6})
    place.refuses("data.stored = 6: less than the 8 pixels of data.size; raise it, or set 0 for those")


def test_pictures_of_several_runs_that_cannot_be_read(place, pictures, monkeypatch):
    """All are counted together, the first named; the next split's are told when these are mended."""
    monkeypatch.setattr("sidetrip.data.folders.PICTURES_A_SHARD", 3)
    for i in range(4):
        truncate(pictures / "train" / "ant" / f"{i}.jpg")
        truncate(pictures / "train" / "bee" / f"{i}.jpg")
    truncate(pictures / "test" / "ant" / "1.jpg")
    names = ", ".join(
        f"pictures/train/{name}" for name in ("ant/0.jpg", "ant/1.jpg", "ant/2.jpg", "ant/3.jpg", "bee/0.jpg")
    )
    place.refuses(
        f"data.train_split = train: 8 of 8 pictures cannot be read ({names} and 3 more); {MEND}",
        "prepare_data",
    )
    listed = (place.folder / "scratch/smoke/prepare_data/unreadable.csv").read_text(encoding="utf-8").splitlines()
    assert listed[0] == "file,reason"
    assert [line.partition(",")[0] for line in listed[1:]] == [
        *(f"pictures/train/{name}/{i}.jpg" for name in ("ant", "bee") for i in range(4)),
        "pictures/test/ant/1.jpg",
    ]
    assert all(",damaged: image file is truncated" in line for line in listed[1:])
    shutil.rmtree(pictures / "train")
    shutil.copytree(pictures / "test", pictures / "train")
    truncate(pictures / "test" / "bee" / "2.jpg")
    (pictures / "train" / "ant" / "1.jpg").unlink()
    place.refuses(
        "data.validation_split = test: 2 of 8 pictures cannot be read (pictures/test/ant/1.jpg, "
        f"pictures/test/bee/2.jpg); {MEND}",
        "prepare_data",
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "single_step.batch_sizes",
            [2],
            "single_step.batch_sizes = 2: 10 held-out and 1 own batches exceed the 8 training pictures; lower one",
        ),
        (
            "evaluation.recalibration_samples",
            9,
            "evaluation.recalibration_samples = 9: the training split has 8 pictures; lower it",
        ),
    ],
)
def test_more_samples_than_a_folder_holds(place, pictures, key, value, message):
    small = {
        "burn_in.batch_size": 2,
        "evaluation.train_samples": 8,
        "evaluation.recalibration_samples": 8,
        "single_step.batch_sizes": [2],
    }
    place.change(**small | {key: value})
    place.refuses(message, "prepare_data")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vgg11_bn", "model 'vgg11_bn' takes pictures of 3 channels, the data have 1; use resnet8"),
        ("googlenet", "model 'googlenet' takes pictures of 3 channels, the data have 1; use resnet8"),
    ],
)
def test_a_model_of_other_channels(place, model, message):
    place.change(**{"model.name": model})
    small_sheets(place.folder, pictures=520)
    place.refuses(f"model.name = {model}: {message}", "prepare_data")


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (
            "alexnet",
            8,
            "does not take pictures of 8 × 8 pixels (Given input size: (64x1x1). Calculated output size: (64x0x0). "
            "Output size is too small); use another model or another data.size",
        ),
        (
            "vit_b_16",
            24,
            "does not take pictures of 24 × 24 pixels (Input shape indivisible by patch size!); "
            "use another model or another data.size",
        ),
    ],
)
def test_a_model_of_other_shapes(place, pictures, model, size, message):
    place.change(**{"model.name": model, "data.size": size})
    place.refuses(f"model.name = {model}: {message}", "prepare_data")


def small_sheets(folder: Path, pictures: int, labels: int | None = None, highest: int = 9) -> None:
    """Embedded sheets of one row."""
    for split in ("train", "validation"):
        sheet = folder / "datasets" / "fashion_mnist_14" / split
        write(Path(f"{sheet}_pictures.png"), np.arange(14 * 14 * pictures).reshape(14, -1).astype(np.uint8))
        write(Path(f"{sheet}_labels.png"), (np.arange(labels or pictures) % (highest + 1)).astype(np.uint8)[None])
    seal(sheet.parent, sheet.parent.glob("*.png"))


RESTORE = "restore it with `git checkout datasets/fashion_mnist_14`"


def test_embedded_pictures_missing(place):
    place.change()
    place.refuses(f"datasets/fashion_mnist_14/train_pictures.png: missing; {RESTORE}", "prepare_data")


def test_embedded_pictures_damaged(place):
    place.change()
    small_sheets(place.folder, 520)
    truncate(place.folder / "datasets/fashion_mnist_14/validation_labels.png")
    place.refuses(f"datasets/fashion_mnist_14/validation_labels.png: damaged; {RESTORE}", "prepare_data")


def test_embedded_pictures_that_do_not_match_their_labels(place):
    place.change()
    small_sheets(place.folder, 20, labels=30)
    place.refuses(
        f"datasets/fashion_mnist_14: train_pictures.png of 280 × 14 pixels does not hold 30 pictures; {RESTORE}",
        "prepare_data",
    )


def test_labels_that_name_no_class(place):
    place.change()
    small_sheets(place.folder, 24, highest=11)
    place.refuses(
        "fashion_mnist, training split: 4 of 24 labels are outside 0 to 9; mend or restore its files", "prepare_data"
    )


# Downloads

TORONTO = "https://www.cs.toronto.edu/~kriz"
ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"


@pytest.fixture
def downloads(place, monkeypatch) -> Path:
    """A place whose data are CIFAR-10, without a network."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    place.change(
        **{"data.source": "torchvision", "data.name": "cifar10", "data.root": "scratch/downloads", "data.size": 32}
    )
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return place.folder / "scratch" / "downloads"


@pytest.mark.parametrize(
    ("name", "archive", "url"),
    [
        ("cifar10", "cifar-10-binary.tar.gz", f"{TORONTO}/cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-binary.tar.gz", f"{TORONTO}/cifar-100-binary.tar.gz"),
        (
            "fashion_mnist",
            "FashionMNIST/raw/train-images-idx3-ubyte.gz",
            f"{ZALANDO}/train-images-idx3-ubyte.gz",
        ),
    ],
)
@pytest.mark.parametrize(("there", "state"), [(False, "missing"), (True, "damaged (not the original's checksum)")])
def test_an_archive_that_is_not_to_be_had(place, downloads, name, archive, url, there, state):
    place.change(**{"data.name": name})
    if there:
        (downloads / archive).parent.mkdir(parents=True)
        (downloads / archive).write_bytes(b"half an archive")
    place.refuses(
        f"scratch/downloads/{archive}: {state}, and downloading {url} failed (<urlopen error no route to host>); "
        "put the original there by hand",
        "prepare_data",
    )


def test_a_download_that_arrives_corrupted(place, downloads, monkeypatch):
    utils = torchvision.datasets.utils
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, path: Path(path).write_bytes(b"something else"))
    place.refuses(
        "scratch/downloads/cifar-10-binary.tar.gz: damaged (not the original's checksum), and downloading "
        f"{TORONTO}/cifar-10-binary.tar.gz failed (File not found or corrupted.); put the original there by hand",
        "prepare_data",
    )


def test_a_file_where_downloads_should_go(place, downloads):
    downloads.parent.mkdir()
    downloads.write_text("not a folder", encoding="utf-8")
    place.refuses("data.root = scratch/downloads: a file; name the folder that takes downloads")


# The machine and the command line


def test_a_device_that_is_not_there(place):
    place.change(**{"runtime.device": "cuda:99"})
    there = torch.cuda.device_count()
    place.refuses(f"runtime.device = cuda:99: this machine has {there} CUDA device(s); use auto or cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [("cpu", "a CPU has none; use fp32 or bf16"), ("auto", "this machine has no GPU; use fp32 or bf16")],
)
def test_a_precision_that_the_device_has_not(place, monkeypatch, device, message):
    monkeypatch.setattr(devices, "gpu_count", lambda: 0)
    place.change(**{"runtime.device": device, "model.precision": "tf32"})
    place.refuses(f"model.precision = tf32: {message}")


@pytest.mark.parametrize(("device", "there"), [("cuda", 2), ("auto", 2), ("cuda:1", 1)])
def test_more_processes_than_gpus(place, monkeypatch, device, there):
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    place.change(**{"runtime.device": device, "runtime.processes": 4})
    place.refuses(
        f"runtime.processes = 4: runtime.device = {device} has {there} GPU(s) here, and each process needs its own; "
        "use fewer processes, or cpu"
    )


def test_several_processes_on_a_cluster(place):
    place.change(**{"runtime.executor": "dask", "runtime.processes": 2})
    place.refuses(
        "runtime.processes = 2: runs go over one process each with runtime.executor = dask; use 1, or the executor "
        "processes"
    )


def test_two_schedulers(place):
    place.change(**{"runtime.dask_address": "host:8786", "runtime.dask_scheduler_file": "scheduler.json"})
    place.refuses(
        "runtime.dask_scheduler_file = scheduler.json: runtime.dask_address is set as well; set one of the two"
    )


def test_a_scheduler_that_is_not_there(place):
    place.change(**{"runtime.executor": "dask", "runtime.dask_scheduler_file": "scheduler.json"})
    place.refuses(
        "runtime.dask_scheduler_file = scheduler.json: cannot be read (No such file or directory); start the scheduler "
        "with --scheduler-file and this path"
    )


def test_another_folder_than_the_root_of_the_repository(place):
    place.refuses("params.yaml: no such file here; run from the root of the repository, which holds it")


def test_a_file_where_reports_should_be(place):
    place.change()
    (place.folder / "reports").write_text("not a folder", encoding="utf-8")
    place.refuses(
        "reports/smoke/config.yaml: cannot be written (Not a directory); make room or set its permissions, and run "
        "again: what is finished is kept"
    )


def test_a_folder_that_is_read_only(place):
    place.change()
    status, lines = place.run("configure", "smoke", "/proc/reports/config.yaml")  # read-only for root, too
    assert lines == [
        "sidetrip: /proc/reports/config.yaml: cannot be written (No such file or directory); make room or set its "
        "permissions, and run again: what is finished is kept"
    ]
    assert status == 1


def test_a_file_where_runs_should_be(place):
    place.change()
    small_sheets(place.folder, 520)
    (place.folder / "runs").write_text("not a folder", encoding="utf-8")
    place.refuses(
        "runs/smoke/prepare_data: cannot be written (Not a directory); make room or set its permissions, and run "
        "again: what is finished is kept",
        "prepare_data",
    )


def test_a_variant_whose_name_leads_elsewhere(place):
    place.params["variants"]["../x"] = {}
    place.change()
    before = listing(place.folder)
    assert place.run("configure", "../x", "reports/x/config.yaml") == (
        1,
        ["sidetrip: variant = ../x: use lower-case letters, digits and underscores only (at most 100)"],
    )
    assert listing(place.folder) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("burn_in.steps=0", "burn_in.steps = 0: use 1 to 100000000"),
        ("burn_in.rate=nan", "burn_in.rate = nan: use more than 0 and at most 100"),
        ("variant=../x", "variant = ../x: use lower-case letters, digits and underscores only (at most 100)"),
    ],
)
def test_overrides_of_a_stage_are_checked_too(place, override, message):
    place.change()
    place.refuses(message, "prepare_data", override)


def test_settings_edited_by_hand(place):
    place.change()
    assert place.configure() == (0, [])
    path = place.folder / "reports/smoke/config.yaml"
    path.write_text(
        "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if "momentum" not in line),
        encoding="utf-8",
    )
    status, lines = place.run("prepare_data", "-cd", "reports/smoke")
    assert lines == [
        "sidetrip: reports/smoke/config.yaml: damaged or edited by hand; edit params.yaml instead, and write it anew "
        "with `dvc repro configure@smoke`"
    ]
    assert status != 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no settings; name the folder of a variant: -cd reports/VARIANT"),
        (["seeds=[1]"], "no settings; name the folder of a variant: -cd reports/VARIANT"),
        (["-cd", "reports/smoke"], "reports/smoke/config.yaml: missing; make it with `dvc repro configure@smoke`"),
    ],
)
def test_a_command_line_without_settings(place, arguments, message):
    with pytest.raises(ConfigError) as error:
        check_settings_folder(arguments)
    assert str(error.value) == message


def test_a_command_line_with_settings(place):
    place.change()
    assert place.configure() == (0, [])
    check_settings_folder(["-cd", "reports/smoke", "seeds=[1]"])
    check_settings_folder(["--help"])


def test_arguments_that_are_not_understood(place):
    message = "use configure.py VARIANT FILE, or configure.py alone to check every active variant"
    assert place.run("configure", "smoke") == (1, [f"sidetrip: {message}"])


@pytest.mark.parametrize(
    ("stage", "arguments", "status", "message"),
    [
        ("configure", ("smoke", "reports/new/config.yaml"), 1, "burn_in.steps = 0: use 1 to 100000000"),
        (
            "prepare_data",
            ("-cd", "reports/smoke"),
            2,
            f"data.train_split = train: 1 of 8 pictures cannot be read (pictures/train/ant/0.jpg); {MEND}",
        ),
    ],
)
def test_a_process_of_its_own(place, pictures, stage, arguments, status, message):
    assert place.configure() == (0, [])
    place.change(**{"burn_in.steps": 0})
    truncate(pictures / "train" / "ant" / "0.jpg")
    before = listing(place.folder)
    result = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert result.returncode == status
    assert without_progress(result.stderr) == [f"sidetrip: {message}"]
    assert listing(place.folder) == before
