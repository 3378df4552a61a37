"""The smoke variant through real `dvc repro`: complete, idle the second time, rerun where it is edited."""

import re
import subprocess
import sys

from smoke import RESULTS, digests, dvc, environment, said

from sidetrip.experiments.claims import statements
from sidetrip.files import read_json


def test_everything_is_there(done):
    report = done / "reports" / "smoke"
    assert [row["id"] for row in read_json(report / "claims.json")] == [statement.id for statement in statements()]
    linked = re.findall(r"\((figures/\w+\.png)\)", (report / "README.md").read_text(encoding="utf-8"))
    assert len(linked) > 10
    assert all((report / picture).stat().st_size > 10_000 for picture in linked)
    assert "(smoke/README.md)" in (done / "reports" / "README.md").read_text(encoding="utf-8")


def test_one_edit_reruns_just_what_it_touches(copy):
    params = copy / "params.yaml"
    params.write_text(
        params.read_text(encoding="utf-8").replace("quadratic_own: 0.98", "quadratic_own: 0.97"), encoding="utf-8"
    )
    result = dvc(copy, "repro")
    assert result.returncode == 0, result.stderr
    ran = [line.split("'")[1].split("@")[0] for line in result.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["configure", "verdicts", "report", "index"]


def test_a_stage_that_is_left_out_loads_neither_torch_nor_pandas_and_leaves_no_table(copy):
    left_out = ["stages/alignment.py", "-cd", "reports/smoke", "experiments.alignment=false"]
    command = [sys.executable, "-X", "importtime", *left_out]
    result = subprocess.run(
        command, cwd=copy, env=environment(), capture_output=True, text=True, check=True, encoding="utf-8"
    )
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "sidetrip.runtime.experiment" in loaded
    assert not loaded & {"torch", "pandas", "scipy", "matplotlib"}
    assert not list((copy / "runs" / "smoke" / "alignment").glob("*.csv"))


def test_a_setting_that_is_refused_removes_nothing(lasting):
    params = lasting / "params.yaml"
    good, before = params.read_text(encoding="utf-8"), digests(lasting, *RESULTS)
    params.write_text(good.replace("ema_newest: 0.2", "ema_newest: 2"), encoding="utf-8")
    result = dvc(lasting, "repro")
    assert result.returncode != 0
    (line,) = said(result.stderr)
    assert line.startswith("sidetrip: side_trips.ema_newest = 2: use at most 1")
    assert digests(lasting, *RESULTS) == before
    params.write_text(good, encoding="utf-8")
    again = dvc(lasting, "repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage" not in again.stdout
