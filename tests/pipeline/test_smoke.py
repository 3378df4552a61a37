"""The smoke variant through real `dvc repro`: complete, idle the second time, rerun where it is edited."""

import json
import subprocess
import sys

import pytest
from smoke import RESULTS, clone, digests, dvc, environment

from sidetrip.experiments.claims import statements


def test_everything_is_there(done):
    report = done / "reports" / "smoke"
    claims = json.loads((report / "claims.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in claims] == [statement.id for statement in statements()]
    for row in claims:
        assert {"id", "source", "statement", "value", "low", "high", "n", "criterion", "verdict"} <= row.keys()
        assert ("reason" in row) == (row["verdict"] == "not measured")
    text = (report / "README.md").read_text(encoding="utf-8")
    for picture in ("figure_1", "figure_2", "figure_5"):
        assert f"(figures/{picture}.png)" in text
        assert (report / "figures" / f"{picture}.png").stat().st_size > 10_000
    assert "(smoke/README.md)" in (done / "reports" / "README.md").read_text(encoding="utf-8")


def test_a_second_repro_does_nothing(copy):
    before = digests(copy, *RESULTS)
    result = dvc(copy, "repro")
    assert result.returncode == 0
    assert "Running stage" not in result.stdout
    assert digests(copy, *RESULTS) == before


def test_one_edit_reruns_just_what_it_touches(copy):
    params = copy / "params.yaml"
    params.write_text(
        params.read_text(encoding="utf-8").replace("quadratic_own: 0.98", "quadratic_own: 0.97"), encoding="utf-8"
    )
    result = dvc(copy, "repro")
    assert result.returncode == 0, result.stderr
    ran = [line.split("'")[1].split("@")[0] for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["configure", "verdicts", "report"]


def test_an_experiment_that_is_left_out_is_gone_and_comes_back_as_it_was(copy):
    params, report = copy / "params.yaml", copy / "reports" / "smoke"
    there, before = params.read_text(encoding="utf-8"), digests(copy, "reports")
    params.write_text(there.replace("    single_step: true\n", "    single_step: false\n"), encoding="utf-8")
    result = dvc(copy, "repro")
    assert result.returncode == 0, result.stderr
    ran = [line.split("'")[1].split("@")[0] for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["configure", "single_step", "verdicts", "figures", "report"]
    assert not list((copy / "runs" / "smoke" / "single_step").glob("*.csv"))
    assert not list(report.rglob("figure_2*")) + list((report / "tables").glob("single_step*"))
    rows = {row["id"]: row for row in json.loads((report / "claims.json").read_text(encoding="utf-8"))}
    assert rows["single_step_gap"]["reason"] == "this variant leaves its experiment out"
    params.write_text(there, encoding="utf-8")
    again = dvc(copy, "repro")
    assert again.returncode == 0, again.stderr
    assert digests(copy, "reports") == before


def test_a_stage_that_is_left_out_loads_neither_torch_nor_pandas(copy):
    left_out = ["stages/alignment.py", "-cd", "reports/smoke", "experiments.alignment=false"]
    command = [sys.executable, "-X", "importtime", *left_out]
    result = subprocess.run(
        command, cwd=copy, env=environment(), capture_output=True, text=True, check=True, encoding="utf-8"
    )
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "sidetrip.runtime.experiment" in loaded
    assert not loaded & {"torch", "pandas", "scipy", "matplotlib"}


def test_a_setting_that_is_refused_removes_nothing(copy):
    params = copy / "params.yaml"
    good = params.read_text(encoding="utf-8")
    before = digests(copy, *RESULTS)
    params.write_text(good.replace("ema_newest: 0.2", "ema_newest: 2"), encoding="utf-8")
    result = dvc(copy, "repro")
    assert result.returncode != 0
    assert "sidetrip: side_trips.ema_newest = 2: use at most 1" in result.stderr
    assert digests(copy, *RESULTS) == before
    params.write_text(good, encoding="utf-8")
    again = dvc(copy, "repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage" not in again.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ema_newest: 0.2\n",
            "ema_newset: 0.2\n",
            "variants.smoke.side_trips.ema_newset: unknown key; allowed in side_trips are windows",
        ),
        ("device: auto ", "device: cuda:99 ", "runtime.device = cuda:99: this machine has"),
    ],
)
def test_a_mistake_stops_before_anything_is_computed(tmp_path, old, new, message):
    folder = clone(tmp_path, (old, new))
    result = dvc(folder, "repro")
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("sidetrip:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (folder / "runs").exists()
    assert not (folder / "reports").exists()
