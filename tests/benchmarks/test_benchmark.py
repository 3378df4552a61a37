"""The benchmark's table is complete, and its baseline does the same work as the pipeline."""

from functools import partial

import pytest
import torch
from helpers import smoke_config
from torch import nn

from benchmarks import __main__ as benchmark
from benchmarks import stock
from benchmarks.table import Row, markdown
from benchmarks.timing import interleaved, ratio
from sidetrip.engine.training import Position
from sidetrip.experiments.side_trips.measure import measure as side_trips
from sidetrip.experiments.side_trips.plan import cases, controls
from sidetrip.measure.averaging import RunningAverage

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_stock_parts(monkeypatch):
    """No loader processes, one thread, one step to tell two settings apart: there is too little work to share."""
    monkeypatch.setattr(stock, "LOADER_WORKERS", 0)
    monkeypatch.setattr(stock, "STOCK", {"": (torch.contiguous_format, 1), ", other": (torch.channels_last, 1)})
    monkeypatch.setattr(stock, "PROBE", 1)


def test_the_table_is_complete(tmp_path, capsys):
    topics = ["training", "evaluation", "sweep", "workers", "comparison"]
    out = tmp_path / "lab.md"
    benchmark.main(["--variant", "smoke", "--size", "smoke", "--device", "cpu", "--topics", *topics, "--out", str(out)])
    assert out.read_text(encoding="utf-8") == capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("|")][2:]
    assert all(float(value) > 0 for _, _, value, *_ in rows)
    quantities = " ".join(row[1] for row in rows)
    for quantity in (
        "loop ÷ floor",
        "16 running averages",
        "evaluation ÷ floor",
        "sweep ÷ floor",
        "workers ÷ 1 worker",
        "ours, 1 worker",
        "stock parts ÷ ours, all workers",
    ):
        assert quantity in quantities


def test_a_text_is_measured_too(tmp_path, capsys):
    asked = ["--variant", "shakespeare", "--size", "smoke", "--device", "cpu", "--out", str(tmp_path / "text.md")]
    benchmark.main([*asked, "--topics", "training", "evaluation"])
    assert "loop ÷ floor" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark.main([*asked, "--topics", "comparison"])
    assert "leave it out" in capsys.readouterr().err


def test_the_baseline_scores_what_the_pipeline_scores(work):
    """But for the averages along trips, which the pipeline scores beside."""
    theirs = stock.stock_comparison(work, torch.contiguous_format, threads=1)
    ours = side_trips(work.lab, work.point)["side_trips"]
    ours = ours.query("look == 0 and split != 'batches' and model != 'trip_average'")
    found = sorted(row[:4] for row in theirs)
    assert found == sorted(ours[["kernel", "window_steps", "model", "split"]].itertuples(index=False, name=None))


def test_the_baseline_s_averages_are_those_of_the_kernels():
    config = smoke_config()
    never = partial(pytest.fail, "an average needs no copy of the state")
    for case in [*cases(config), *(control for control, _ in controls(config))]:
        model, ours = nn.Linear(3, 2).double(), RunningAverage(case.kernel, 0)
        theirs = stock.averaged_model(case, model)
        for step in range(case.window + 1):
            ours(Position(step, dict(model.named_parameters()), None, never))
            if step in stock.taken_in(case):
                theirs.update_parameters(model)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter))
        for name, weight in ours.weights().items():
            torch.testing.assert_close(theirs.module.get_parameter(name), weight, rtol=1e-9, atol=1e-9)


def test_rounds_are_interleaved_and_ratios_paired():
    called = []
    taken = interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2, CPU)
    assert "".join(called) == "ab" + "abab"
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}
    assert ratio([1.0, 10.0, 6.0], [1.0, 5.0, 2.0]) == 2.0


@pytest.mark.parametrize(("value", "met"), [(0.94, "no"), (0.95, "yes"), (2.0, "yes")])
def test_a_target_is_met_from_its_value_on(value, met):
    assert Row("t", "q", value, "", least=0.95).met == met
    assert Row("t", "q", -value, "", most=-0.95).met == met
    assert Row("t", "q", value, "").met == ""
    assert f"| {met} |" in markdown([Row("t", "q", value, "", least=0.95)], "head")
