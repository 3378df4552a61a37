"""`make quick`: the settings of the default, so few that it takes minutes, built beside the committed reports."""

import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from smoke import clone, digests, environment

from sidetrip.config import load_params, resolve
from sidetrip.experiments.claims import LEFT_OUT as LEFT_OUT_REASON
from sidetrip.experiments.work import TRAINING
from sidetrip.files import read_json
from sidetrip.planning import makespan, units
from sidetrip.quick import lines, verdict

SPEED = 4400  # training samples a second of one core, as reports/bench.md has it
SECONDS = 120  # of two cores, which leaves a minute for what stages take to start
LEFT_OUT = ["single_step", "fixed_batch", "divergence", "alignment", "curvature", "forecast"]
ROW = {
    "id": "gains",
    "statement": "an average gains",
    "value": 0.04321,
    "low": -0.02,
    "high": 0.1,
    "n": 2,
    "unit": "seeds",
    "quantity": "nats",
    "part": "SWA",
    "verdict": "reproduced",
}


def git_status(folder: Path) -> str:
    return subprocess.check_output(["git", "status", "--porcelain"], cwd=folder, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def params():
    return load_params(Path("params.yaml"))


def test_two_cores_take_minutes(params):
    found = units(resolve(params, "quick")).values()
    assert sum(makespan([work.passes / TRAINING for work in each], 2) for each in found) <= SECONDS * SPEED


def test_it_has_the_settings_of_the_default_and_less_of_them(params):
    quick, default = (asdict(resolve(params, name)) for name in ("quick", "fashion_mnist"))
    assert quick["burn_in"].pop("steps") < default["burn_in"].pop("steps")
    assert quick["side_trips"].pop("every") > default["side_trips"].pop("every")
    fewer = ("variant", "seeds", "experiments", "branch")
    assert {key: quick[key] for key in quick.keys() - fewer} == {key: default[key] for key in default.keys() - fewer}
    assert {*quick["seeds"]} < {*default["seeds"]}
    assert {*quick["branch"]["points"]} < {*default["branch"]["points"]}


def test_two_seeds_have_a_verdict_with_its_interval_and_one_is_no_test():
    assert verdict(ROW) == "- gains: reproduced, 0.0432 nats (-0.02 to 0.1), SWA: an average gains"
    alone = {**ROW, "n": 1, "low": None, "high": None, "part": ""}
    assert verdict(alone) == "- gains: one seed, no test, 0.0432 nats: an average gains"


def test_what_was_not_measured_is_no_line(params):
    config = resolve(params, "quick")
    head, *rows, last = lines(config, [ROW, {**ROW, "verdict": "not measured"}], Path("page.md"))
    assert head.startswith("2 seeds")
    assert rows == [verdict(ROW)]
    assert last.startswith("page.md")


def test_make_quick_builds_it_beside_the_repository(tmp_path):
    """With the smoke variant in its place, of which it takes the averages alone."""
    folder = clone(tmp_path)
    place = folder / "params.yaml"
    params = yaml.safe_load(place.read_text(encoding="utf-8"))
    variants = params["variants"]
    variants["former"] = variants.pop("quick")
    variants["quick"] = variants.pop("smoke") | {"experiments": dict.fromkeys(LEFT_OUT, False)}
    params["active"] = ["former"]
    place.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "installed").touch()
    before = digests(folder, "params.yaml"), git_status(folder)
    made = subprocess.run(
        ["make", "quick"], cwd=folder, env=environment(), capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert (digests(folder, "params.yaml"), git_status(folder)) == before
    report = folder / "quick" / "reports" / "quick"
    measured = [row for row in read_json(report / "claims.json") if row["verdict"] != "not measured"]
    said = [line for line in made.stdout.splitlines() if not line.startswith("make[")]  # of a make within a make
    assert len(measured) >= 3
    assert [line for line in said if line.startswith("- ")] == [verdict(row) for row in measured]
    assert said[-2].startswith("quick/reports/quick/README.md: ")
    assert (report / "README.md").is_file()
    assert len(list((report / "figures").glob("figure_*.png"))) >= 2
    assert not list((report / "figures").glob("figure_2*")) + list(folder.glob("quick/runs/quick/single_step/*.csv"))
    reasons = {row["id"]: row.get("reason") for row in read_json(report / "claims.json")}
    assert reasons["single_step_gap"] == LEFT_OUT_REASON
    assert said[-1].startswith("`make repro` adds former, 2 seeds (single_step, side_trips")
