"""What a variant costs before it runs: units, work and storage, by arithmetic on its settings.

    python -m sidetrip.planning [VARIANT ...]
    python -m sidetrip.planning --speed SAMPLES_A_SECOND [VARIANT ...]     by stage, with minutes

Work is counted in training samples: those that go forward and backward through the network once. One that only
goes forward counts a third. Time is work over the measured samples a second of one worker.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sidetrip.config import Config, ConfigError, load_params, resolve
from sidetrip.config.errors import of_variant, shown
from sidetrip.console import command
from sidetrip.engine.models import ModelError, network
from sidetrip.engine.optimizers import optimizer_of
from sidetrip.engine.state import capture, initial_state, save_state
from sidetrip.experiments.registry import plans
from sidetrip.experiments.units import branch_points
from sidetrip.experiments.work import TRAINING, Work, dataset

LABEL_BYTES = 8 + 4  # and the checksum
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
WORKERS = (1, 2, 8, 64)


def units(config: Config) -> dict[str, list[Work]]:
    """Work of every unit of every stage that trains or evaluates."""
    return {plan.name: [plan.work(config, unit) for unit in plan.units_of(config)] for plan in plans() if plan.network}


def stages(config: Config, samples_a_second: float) -> Iterator[str]:
    """Lines of a Markdown table of one variant, one row a stage, with the minutes of one worker of that speed."""
    yield f"| {config.variant} | units | training steps | scored samples | minutes |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    rows = {name: (len(found), sum(found, Work())) for name, found in units(config).items()}
    rows["all"] = sum(count for count, _ in rows.values()), sum((work for _, work in rows.values()), Work())
    for name, (count, work) in rows.items():
        steps, minutes = work.trained / config.burn_in.batch_size, work.passes / TRAINING / samples_a_second / 60
        yield f"| {name} | {count} | {steps:.0f} | {work.scored / 1e6:.3g} M | {minutes:.1f} |"


def makespan(work: Sequence[float], workers: int) -> float:
    """Work of the busiest worker when the costliest unit that is left goes to the first worker that is free."""
    busy = [0.0] * workers
    for unit in sorted(work, reverse=True):
        heapq.heapreplace(busy, busy[0] + unit)
    return max(busy)


def state_bytes(config: Config) -> int:
    """Size of the file of a training state: weights, what the optimizer keeps, buffers."""
    known = dataset(config)
    with of_variant(config.variant):
        try:
            model = network(config, known.channels, known.classes)
        except ModelError as error:
            raise ConfigError(f"model.name = {shown(config.model.name)}: {error}") from error
    slots = optimizer_of(config.burn_in, config.model.precision).slots
    kept = dict.fromkeys(slots, initial_state(model).weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_state(capture(model, kept, step=0), path)
        return path.stat().st_size


def storage(config: Config) -> dict[str, int]:
    """Bytes of what grows with the settings: packed pictures, snapshots, branch points."""
    known = dataset(config)
    pictures = known.training_pictures + known.validation_pictures
    burn_in, state, seeds = config.burn_in, state_bytes(config), len(config.seeds)
    snapshots = len({*range(0, burn_in.steps, burn_in.snapshot_every), burn_in.steps})
    return {
        "pictures": pictures * (known.channels * config.data.packed_side**2 + LABEL_BYTES),
        "snapshots": seeds * snapshots * state,
        "branch points": len(branch_points(config)) * state,
    }


def _shown(size: float) -> str:
    name, divisor = next(((name, d) for name, d in UNITS if size >= d), UNITS[-1])
    return f"{size / divisor:.3g} {name}"


def table(configs: Sequence[Config]) -> Iterator[str]:
    """Lines of a Markdown table, one row a variant."""
    columns = ["variant", "units", "work", *(f"on {n}" for n in WORKERS), "one state"]
    columns += ["pictures", "snapshots", "branch points", "cache"]
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for config in configs:
        sizes = storage(config)
        totals = [[work.passes / TRAINING for work in found] for found in units(config).values()]
        spans = [sum(makespan(work, n) for work in totals) for n in WORKERS]
        cells = [config.variant, str(sum(map(len, totals))), f"{sum(map(sum, totals)) / 1e6:.3g} M"]
        cells += [f"{span / 1e6:.3g} M" for span in spans]
        cells += [_shown(size) for size in (state_bytes(config), *sizes.values(), sum(sizes.values()))]
        yield f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all of params.yaml unless given")
    parser.add_argument("--speed", type=float, help="training samples a second of one worker: a table of stages each")
    options = parser.parse_args(arguments)
    with command():
        params = load_params(Path("params.yaml"))
        configs = [resolve(params, name) for name in options.variants or params.variants]
        tables = [stages(config, options.speed) for config in configs] if options.speed else [table(configs)]
        sys.stdout.write("\n".join("".join(f"{line}\n" for line in lines) for lines in tables))


if __name__ == "__main__":
    main()
