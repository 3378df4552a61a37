"""Forecasts of what a decay would end at: exact where losses follow a law, blind to their answer, and calibrated."""

import contextlib
import hashlib
import io
import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats import t as student

from sidetrip.forecast import main
from sidetrip.loss_forecast import (
    CONFIDENCE,
    LEAST,
    WINDOWS,
    CoolDown,
    Losses,
    fitted,
    forecast,
    learned,
    student_quantile,
)

OVER, EVERY, NOW = 200, 50, 3000


def line(s):
    """The law that losses are taken to follow."""
    return 1.0 + 10.0 / np.sqrt(s)


GAP = 0.25  # momentary minus merged
RUN = "step,momentary,merged\n"


def earlier_file(folder, rows):
    path = folder / "earlier.csv"
    path.write_text("start,over,shape,loss\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def run_file(folder, merged, gap=GAP):
    path, steps = folder / "run.csv", range(EVERY, NOW + 1, EVERY)
    path.write_text(RUN + "".join(f"{s},{merged(s) + gap},{merged(s)}\n" for s in steps), encoding="utf-8")
    return path


def command(*arguments):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        main([str(argument) for argument in arguments])
    return said.getvalue()


def found(*arguments):
    return json.loads(command(*arguments, "--over", OVER, "--json"))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        command(*arguments)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("offset", [None, -0.02])
def test_it_is_exact_where_losses_follow_its_law(offset, tmp_path):
    """Also for cool-downs that end a fixed way off it; then its interval has no width, and the run gets there when."""
    arguments = ["--losses", run_file(tmp_path, line, gap=0.0 if offset is None else GAP)]
    if offset is not None:
        rows = [f"{s},{OVER},linear,{line(s + OVER) + offset}" for s in (1500, 1800, 2200, 2800)]
        rows += [f"1500,{OVER},cosine,9", "1500,100,linear,9", f"10,{OVER},linear,9"]
        arguments += ["--cool-downs", earlier_file(tmp_path, rows)]
    result, expected = found(*arguments), line(NOW + OVER) + (offset or 0.0)
    assert [result["loss"], *(result["interval"][end] for end in ("low", "high"))] == pytest.approx([expected] * 3)
    assert result["correction"] == pytest.approx(offset or 0.0)
    assert result["cool_downs"] == (4 if offset else 0)
    assert sum(result["left_out"].values()) == (3 if offset else 0)
    steps = result["steps_at_constant_rate"]["loss"]
    assert steps is None if offset else abs(steps - OVER) <= 1  # the run never comes to it, or has the same losses


@pytest.mark.parametrize(
    ("gap", "slope", "told"),
    [
        (10 / 3200**0.5 - 10 / 3500**0.5, 10, f"Yes: at the constant rate, about {OVER + 300} steps"),
        (10 / 3200**0.5 - 10 / 3100**0.5, 10, f"No: at the constant rate, about {OVER - 100} steps"),
        (-0.5, 10, "No: by the line"),
        (1.0, 10, f"Yes: at the constant rate, the run does not come to this loss within {NOW} more steps"),
        (0.05, 0.0, f"Yes: at the constant rate, the run does not come to this loss within {NOW} more steps"),
    ],
)
def test_it_tells_whether_the_decay_is_worth_its_steps(gap, slope, told, tmp_path):
    path = run_file(tmp_path, lambda s: 2 + slope / np.sqrt(s), gap - slope * 1e-6)  # so that rounding does not decide
    assert told in command("--losses", path, "--over", OVER)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_fit_and_its_error_are_those_of_the_linear_map(power):
    """A forecast is linear in the losses: its coefficients, found one by one, give slope and variance."""
    steps = np.array([100.0, 150, 230, 300, 390, 420, 500])
    eye = np.eye(len(steps))
    ahead = np.array([row[-1] + fitted(Losses(steps, row), OVER, power).change(700) for row in eye])
    noisy = np.random.default_rng(0).normal(size=len(steps))
    fit = fitted(Losses(steps, noisy), OVER, power)
    x = np.log(steps) if power == 0 else -1 / power / steps**power
    slope, level = np.polyfit(x, noisy, 1)
    left = noisy - level - slope * x
    variance = left @ left / (len(steps) - 2) * (1 + ahead @ ahead)
    there = level + slope * (np.log(600) if power == 0 else -1 / power / 600**power)
    assert (fit.slope, fit.at(600), fit.error(700)) == pytest.approx((slope, there, variance**0.5))
    assert power == 0 or slope >= 0 or fit.step_of(fit.at(650)) == pytest.approx(650)


def test_student_s_quantile_is_scipy_s():
    for freedom in (1, 2, 3, 4, 7, 20, 101):
        for probability in (0.6, 0.9, 0.95, 0.995):
            assert student_quantile(probability, freedom) == pytest.approx(student.ppf(probability, freedom), rel=1e-9)


@pytest.mark.parametrize(("now", "together", "basis"), [(NOW, 0.0, "past"), (NOW, 0.6, "past"), (600, 0.0, "fit")])
def test_the_interval_covers_about_its_level(now, together, basis):
    """Of losses about the law, their noise correlated from row to row."""
    runs, hits = 150, 0
    steps = np.arange(EVERY, now + OVER + 1, EVERY, dtype=float)
    for seed in range(runs):
        noise = np.random.default_rng(seed).normal(size=len(steps))
        for i in range(1, len(steps)):
            noise[i] = together * noise[i - 1] + (1 - together**2) ** 0.5 * noise[i]
        values = line(steps) + 0.01 * noise
        losses = Losses(steps, values).until(now)
        result = forecast(losses, losses, [], now, OVER, "linear")
        assert basis in result.interval.rests_on
        hits += result.interval.low <= values[-1] <= result.interval.high
    # Errors one window apart share a loss, so they are not quite independent: a few percent less are allowed for it.
    # An interval that rests on the fit is wider than its level, since it allows for other laws.
    assert binom.ppf(1e-3, runs, CONFIDENCE - 0.03) <= hits
    assert basis == "fit" or hits <= binom.ppf(1 - 1e-3, runs, CONFIDENCE)


@given(st.floats(0.0, 1.0), st.integers(600, 800), st.floats(-50, 50))
def test_with_a_short_past_the_interval_holds_other_powers_of_the_step(power, now, size):
    """Losses along a power of the step without noise: what the law gets wrong is all that there is."""
    steps = np.arange(EVERY, now + OVER + 1, EVERY, dtype=float)
    x = np.log(steps) if power < 1e-3 else -(steps**-power) / power
    losses = Losses(steps, 2 + size * x / np.ptp(x))
    at = int(steps[steps <= now][-1])
    result = forecast(losses.until(at), losses.until(at), [], at, OVER, "linear")
    answer = float(losses.values[steps == at + OVER][0])
    reach = 1e-9 + result.interval.high - result.interval.low
    assert "fit" in result.interval.rests_on
    assert abs(answer - result.loss) <= reach / 2


def test_an_interval_from_cool_downs_is_student_s(tmp_path):
    offsets, starts = np.array([-0.02, 0.01, -0.05]), (1500, 1800, 2200)
    rows = [f"{s},{OVER},1-sqrt,{line(s + OVER) + offset}" for s, offset in zip(starts, offsets, strict=True)]
    files = ["--losses", run_file(tmp_path, line), "--cool-downs", earlier_file(tmp_path, rows)]
    arguments = [*files, "--decay", "1-sqrt"]
    result = found(*arguments)
    scale = offsets.std(ddof=1) * (1 + 1 / LEAST) ** 0.5
    expected = student.interval(CONFIDENCE, LEAST - 1, line(NOW + OVER) + offsets.mean(), scale)
    assert (result["interval"]["low"], result["interval"]["high"]) == pytest.approx(expected)
    assert "3 errors for earlier cool-downs" in command(*arguments, "--over", OVER)
    before = found(*arguments, "--at", starts[-1] + OVER - 1)  # the third has not ended
    assert before["correction"] == 0.0
    assert sum(before["left_out"].values()) == LEAST - 1


def test_an_earlier_cool_down_is_forecast_from_what_lay_before_it():
    """Whatever the losses after its start are, its error is the same."""
    steps = np.arange(EVERY, NOW + 1, EVERY, dtype=float)
    values = line(steps) + 0.01 * np.random.default_rng(0).normal(size=len(steps))
    starts = range(1400, 1800, OVER)
    cool_downs = [CoolDown(start, OVER, "linear", 1.0) for start in (*starts, *starts)]
    errors, _ = learned(Losses(steps, values), cool_downs, "linear", OVER)
    later, _ = learned(Losses(steps, values + 5.0 * (steps > starts[-1])), cool_downs, "linear", OVER)
    assert len(errors) == len(cool_downs) >= LEAST
    assert errors.tolist() == later.tolist()


def test_it_cannot_see_its_answer(tmp_path):
    """Every loss after the step changed, of both files, some to what is no number: the same forecast, the same seal."""
    random, at = np.random.default_rng(0), 2000
    noise = dict(zip(range(EVERY, NOW + 1, EVERY), random.normal(size=NOW // EVERY), strict=True))
    results = []
    for folder, later in (("a", 0.0), ("b", 5.0)):
        (tmp_path / folder).mkdir()
        path = run_file(tmp_path / folder, lambda s, later=later: 2 - s * 1e-4 + 0.01 * noise[s] + later * (s > at))
        rows = [f"{s},{OVER},linear,{2 - s * 1e-4 + 0.01 * noise[s] + later * (s + OVER > at)}" for s in noise]
        if later:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{NOW + 1},nan,nan\n")
        earlier = earlier_file(tmp_path / folder, rows)
        results.append(found("--losses", path, "--cool-downs", earlier, "--at", at))
    assert results[0] == results[1]
    assert results[0]["cool_downs"] > LEAST
    lines = path.read_bytes().splitlines(keepends=True)[: results[1]["inputs"][0]["lines"]]
    assert hashlib.sha256(b"".join(lines)).hexdigest() == results[1]["inputs"][0]["sha256"]
    assert lines[-1].startswith(b"2000,")


def test_gaps_and_places_between_rows(tmp_path):
    """An empty merged cell is a step at which nothing was merged; a forecast may begin between two rows."""
    steps = range(EVERY, NOW + 1, EVERY)
    lines = [f"{s},{line(s) + 1},{line(s) if s % 100 == 0 else ''}" for s in steps]
    path = tmp_path / "run.csv"
    path.write_bytes(("\ufeffstep, momentary, merged\r\n0,9,9\r\n" + "\r\n".join(lines)).encode())
    result = found("--losses", path, "--at", 2971)
    assert result["fit"]["points"] == WINDOWS * OVER // 100 + 1
    assert result["loss"] == pytest.approx(line(2971 + OVER))


@pytest.mark.parametrize(("late", "told"), [(0, "merged now"), (2, "merged last")])
def test_the_age_of_the_merged_loss_is_told(tmp_path, late, told):
    """The drift is from there to the end of the decay."""
    path, newest = run_file(tmp_path, line), NOW - late * EVERY
    rows = path.read_text(encoding="utf-8").splitlines()
    rows = [row if at <= len(rows) - late else row.rpartition(",")[0] + "," for at, row in enumerate(rows, start=1)]
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    said = command("--losses", path, "--over", OVER)
    assert f"of step {newest}" in next(row for row in said.splitlines() if told in row)
    assert f"over {OVER + late * EVERY} steps" in next(row for row in said.splitlines() if "its drift" in row)


@pytest.mark.skipif(not find_spec("scipy"), reason="no scipy")
@pytest.mark.parametrize("change", [-2.0, 30.0])
def test_losses_that_the_power_law_cannot_have_leave_it_out(tmp_path, change):
    path = run_file(tmp_path, lambda s: line(s) + change)
    rows = [f"{start},{OVER},linear,{line(start) + change}" for start in (1000, 1500, 2000)]
    with_law = found("--losses", path, "--cool-downs", earlier_file(tmp_path, rows))
    assert with_law["power_law"] is None
    assert with_law["cool_downs"] == 3


def test_it_is_sealed_once(tmp_path, capsys):
    path, output = run_file(tmp_path, line), tmp_path / "forecast.json"
    said = command("--losses", path, "--over", OVER, "--output", output)
    assert str(output) in said
    content = output.read_bytes()
    assert json.loads(content) == found("--losses", path)
    assert "name another" in refused(capsys, "--losses", path, "--over", OVER, "--output", output, "--at", 2000)
    assert output.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "arguments", "what", "remedy"),
    [
        ("step;momentary;merged\n1;2;3\n", [], "no column step", "write"),
        ('"Step","run - val/loss"\n1,2\n', [], "Step | run - val/loss", "write"),
        (RUN.replace("\n", "\r") + "1,2,3\r", [], "line 1: is no line", "line feed"),
        (RUN + '1,2,"3\r4"\n' + "x" * 200_000, [], "line 3: is no line", "write"),
        ("step,momentary,merged,merged\n1,2,3,3\n", [], "2 column merged", "write"),
        ("", [], "no column step", "write"),
        (RUN, [], "no steps", "write"),
        (RUN + "1,2\n", [], "line 2: has 2 cells", "correct"),
        (RUN + "1,2,3\n2,x,3\n", [], "line 3: momentary = 'x'", "correct"),
        (RUN + "1,2,nan\n", [], "line 2: merged = 'nan'", "correct"),
        (RUN + "1.5,2,3\n", [], "line 2: step = 1.5", "correct"),
        (RUN + "2,2,3\n1,2,3\n", [], "line 3: step 1 after step 2", "sort"),
        (RUN + "1,2,3\n", ["--at", "7"], "--at 7", "give"),
        (RUN + "".join(f"{s},2,3\n" for s in (100, 400, 500)), [], "3 losses", "merge more"),
        (RUN + "".join(f"{s},2,3\n" for s in range(100, 280, 30)), [], "over the 150 steps", "smaller --over"),
        (RUN + "".join(f"{s},2,{3 if s < 700 else ''}\n" for s in range(100, 951, 50)), [], "of step 650", "merge"),
        (RUN + "1,2,\n", [], "no losses", "merge"),
        (RUN + "1,2,3\n", ["--over", "0"], "--over 0", "give"),
        (RUN + "1,2,3\n", ["--warm-up", "-1"], "--warm-up -1", "give"),
    ],
)
def test_bad_input_is_one_line(content, arguments, what, remedy, tmp_path, capsys):
    path = tmp_path / "run.csv"
    path.write_text(content, encoding="utf-8")
    output = tmp_path / "forecast.json"
    line = refused(capsys, "--losses", path, "--over", OVER, "--output", output, *arguments)
    assert what in line
    assert remedy in line
    assert not output.exists()


def test_bad_files_are_one_line(tmp_path, capsys):
    path, other = run_file(tmp_path, line), tmp_path / "other.csv"
    assert "check the path" in refused(capsys, "--losses", other, "--over", OVER)
    other.write_bytes(b"\xff\xfe1")
    assert "UTF-8" in refused(capsys, "--losses", other, "--over", OVER)
    for rows, what in (
        (["1,2,exp,3"], "write one of"),
        (["1,0,linear,3"], "over = 0"),
        (["1,2,linear,"], "loss = ''"),
        (["1,11000000,linear,3"], "over = 11000000 is more than"),
        (["1,2,linear,3", "1,2,linear,3"], "line 3: is there twice"),
    ):
        files = ["--losses", path, "--cool-downs", earlier_file(tmp_path, rows)]
        assert what in refused(capsys, *files, "--over", OVER)


def test_the_guide_s_own_run_ends_nearer_to_its_forecast_than_to_the_momentary_loss(tmp_path, monkeypatch, capsys):
    """A run in plain torch, and its real cool-down."""
    guide = (Path(__file__).parents[1] / "docs" / "forecast.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(re.search(r"```python\n(.*?)```", guide, re.DOTALL)[1], "guide", "exec"), {})
    real = float(capsys.readouterr().out)
    result = found("--losses", "run.csv")
    assert abs(result["loss"] - real) < abs(result["momentary"] - real)
