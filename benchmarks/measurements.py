"""What is measured, each against its floor, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import pandas as pd
from torch import Tensor

from benchmarks.floors import forward_floor, torch_defaults, training_floor
from benchmarks.input import BenchmarkInput
from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from sidetrip.data.packed import SPLITS
from sidetrip.engine.state import trained
from sidetrip.engine.training import Position, advance
from sidetrip.experiments.evaluator import evaluator
from sidetrip.experiments.single_step.measure import measure as single_step
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import AverageBank, RunningAverage

KERNELS = (1, 4, 16)


def training(work: BenchmarkInput) -> Iterator[Row]:
    """The training loop against its floor, and what averaging adds to a step."""
    lab, steps = work.lab, work.size.steps
    model, rates = lab.model(), [0.01] * steps
    position = Position(0, dict(trained(lab.model())), None, lambda: work.start)

    def loop() -> None:
        advance(model, work.start, lab.stream(0), rates, lab.optimizer)

    def free_loop() -> None:
        with torch_defaults(work.config.model.precision, threads=1):
            loop()

    tasks = {"floor": training_floor(lab, steps), "loop": loop, "free loop": free_loop}
    tasks |= {f"{count} kernels": _averaging(position, count, steps) for count in KERNELS}
    taken = interleaved(tasks, work.size.repetitions, work.device)
    yield Row("training", "floor: forward, backward, optimizer", steps / median(taken["floor"]), "steps/s")
    yield Row("training", "training loop", steps / median(taken["loop"]), "steps/s")
    yield Row("training", "loop ÷ floor", ratio(taken["floor"], taken["loop"]), "", least=0.95)
    yield Row("training", "loop that need not be deterministic ÷ loop", ratio(taken["loop"], taken["free loop"]), "")
    for count in KERNELS:
        share = ratio(taken[f"{count} kernels"], taken["floor"])
        most = 10.0 if count == max(KERNELS) else None
        yield Row("averaging", f"{count} running averages", 100 * share, "% of a step", most=most)


def _averaging(position: Position, count: int, steps: int) -> Callable[[], None]:
    """Show `steps` positions to a bank of averages whose windows stay open."""
    kernels = [Kernel.ema(10**4, newest=0.01 / (i + 1)) for i in range(count)]
    bank = AverageBank([RunningAverage(kernel, 0) for kernel in kernels], lambda position, average: None)

    def run() -> None:
        for _ in range(steps):
            bank(position)

    return run


def evaluation(work: BenchmarkInput) -> Iterator[Row]:
    """Recalibration and scoring against forward passes alone."""
    lab, settings = work.lab, work.config.evaluation
    evaluate = evaluator(lab, SPLITS)
    batches = [inputs for split in evaluate.splits.values() for inputs, _ in split]
    scored = sum(map(len, batches))
    passed = scored + settings.recalibration_samples
    taken = interleaved(
        {
            "floor": forward_floor(lab.model().eval(), batches, work.config.model.precision),
            "evaluation": lambda: list(evaluate(work.start)),
        },
        work.size.repetitions,
        work.device,
    )
    yield Row("evaluation", "floor: forward", scored / median(taken["floor"]), "samples/s")
    yield Row("evaluation", "recalibration and scores", passed / median(taken["evaluation"]), "samples/s")
    share = ratio(taken["floor"], taken["evaluation"]) * passed / scored
    yield Row("evaluation", "evaluation ÷ floor", share, "", least=0.9)


def sweep(work: BenchmarkInput) -> Iterator[Row]:
    """The single-step sweep, gradients and curvatures included, against its forward passes alone."""
    lab, size = work.lab, work.size
    curves = single_step(lab, work.point)["single_step"]
    batches = list(_swept(work, curves))
    taken = interleaved(
        {
            "floor": forward_floor(lab.model().train(), batches, work.config.model.precision),
            "sweep": lambda: single_step(lab, work.point),
        },
        max(1, size.repetitions // 4),
        work.device,
        warm_up=False,
    )
    yield Row("single step", "floor: forward", len(curves) / median(taken["floor"]), "points/s")
    yield Row("single step", "sweep", len(curves) / median(taken["sweep"]), "points/s")
    yield Row("single step", "sweep ÷ floor", ratio(taken["floor"], taken["sweep"]), "", least=0.9)


def _swept(work: BenchmarkInput, curves: pd.DataFrame) -> Iterator[Tensor]:
    """The inputs of every forward pass of the sweep at one branch point: as many chunks for each of its rows."""
    chunk = work.config.single_step.chunk
    for key, rows in curves.groupby(["batch_size", "batch"]):
        size, batch = int(key[0]), str(key[1])  # type: ignore[call-overload]
        part = min(size, chunk)
        inputs, _ = work.lab.stream(0, "benchmark", part).batch(1)
        for _ in range(len(rows) * (size // part if batch == "own" else 1)):
            yield inputs
