"""The smoke variant through real `dvc repro`: complete, idle the second time, the same bytes elsewhere."""

import json
from pathlib import Path

import pytest
from smoke import clone, digests, dvc

from sidetrip.claims.statements import STATEMENTS


def published(folder: Path) -> dict[str, str]:
    return digests(folder, "dvc.lock", "reports")


def test_everything_is_there(done):
    report = done / "reports" / "smoke"
    claims = json.loads((report / "claims.json").read_text())
    assert [row["id"] for row in claims] == [statement.id for statement in STATEMENTS]
    for row in claims:
        assert {"id", "source", "statement", "value", "low", "high", "n", "criterion", "verdict"} <= row.keys()
        assert ("reason" in row) == (row["verdict"] == "not measured")
    text = (report / "README.md").read_text()
    for picture in ("figure_1", "figure_2", "figure_5"):
        assert f"(figures/{picture}.png)" in text
        assert (report / "figures" / f"{picture}.png").stat().st_size > 10_000
    assert "(smoke/README.md)" in (done / "reports" / "README.md").read_text()


def test_a_second_repro_does_nothing(done):
    before = published(done)
    result = dvc(done, "repro")
    assert result.returncode == 0
    assert "Running stage" not in result.stdout
    assert published(done) == before


def test_another_folder_and_number_of_workers_give_the_same_bytes(done, empty):
    result = dvc(empty, "repro", SIDETRIP_WORKERS="1")
    assert result.returncode == 0, result.stderr[-2000:]
    assert published(done) == published(empty)


def test_one_edit_reruns_just_what_it_touches(done):
    params = done / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("quadratic_own: 0.98", "quadratic_own: 0.97"))
    planned = dvc(done, "repro").stdout
    params.write_text(before)
    ran = [line.split("'")[1].split("@")[0] for line in planned.splitlines() if line.startswith("Running stage")]
    assert ran == ["configure", "figures", "report"]
    assert dvc(done, "repro").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ema_newest: 0.2,",
            "ema_newset: 0.2,",
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
