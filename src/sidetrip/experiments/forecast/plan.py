"""Plan of the forecasts: at which steps a decay is forecast, from what, and which cool-downs are run to judge that."""

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan
from sidetrip.experiments.units import Run, replay_steps, runs
from sidetrip.experiments.work import Work, scoring, training
from sidetrip.kernels import DECAYS
from sidetrip.loss_forecast import WINDOWS

SCORED_ON = ("validation",)
ALONG = ["seed", "step", "decay", "window_steps", "model", "loss", "accuracy"]
COOL_DOWNS = ["seed", "branch", "decay", "window_steps", "spacing_steps", "model", "loss", "accuracy"]


def spacings(config: Config, window: int) -> list[int]:
    """Steps between the iterates of the averages over a window: those of the snapshots; more for the widest window."""
    widest = window == config.forecast.windows[-1]
    others = {window // intervals for intervals in config.forecast.intervals} if widest else set()
    return sorted({config.burn_in.snapshot_every, *others})


def looks(config: Config) -> dict[int, list[int]]:
    """Steps at which a run is scored, ascending, each with the windows over which its snapshots are merged there.

    A drift is fitted to the last `WINDOWS` windows, so the looks go that far back from the first cool-down.
    """
    settings = config.forecast
    found: dict[int, list[int]] = {}
    for window in settings.windows:
        first = max(window, settings.begins[0] - WINDOWS * window)
        for step in range(-(-first // settings.every) * settings.every, config.burn_in.steps + 1, settings.every):
            found.setdefault(step, []).append(window)
    return dict(sorted(found.items()))


def windows_from(config: Config, begin: int) -> list[int]:
    """Windows of the decays that begin at a step: those that end within the run."""
    return [window for window in config.forecast.windows if begin + window <= config.burn_in.steps]


def look_work(config: Config, windows: list[int]) -> Work:
    """Work of one look: the run as it is, and all merged snapshots."""
    return scoring(config, 1 + len(DECAYS) * len(windows), SCORED_ON)


def cool_down_work(config: Config, begin: int) -> Work:
    """Work of all that begins at a step: the way there, the run followed through the widest window, the decays."""
    windows, shapes = windows_from(config, begin), len(DECAYS)
    models = sum(1 + shapes * (1 + len(spacings(config, window))) for window in windows)
    steps = replay_steps(config, [begin]) + windows[-1] + shapes * sum(windows)
    return training(config, steps) + scoring(config, models, SCORED_ON)


def work(config: Config, unit: Run) -> Work:
    """Training steps of a unit, and the models that it scores."""
    total = Work()
    for windows in looks(config).values():
        total += look_work(config, windows)
    for begin in config.forecast.begins:
        total += cool_down_work(config, begin)
    return total


PLAN = Plan("forecast", runs, work)
