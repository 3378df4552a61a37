"""Curvature of the training loss in the directions of its gradient noise, at late branch points."""

import pandas as pd
from torch import Tensor

from sidetrip.engine.lab import Lab
from sidetrip.engine.state import restore, with_weights
from sidetrip.experiments.curvature.plan import COLUMNS, DOUBLE_BACKWARD
from sidetrip.experiments.units import BranchPoint
from sidetrip.experiments.work import each_step, training
from sidetrip.kernels import Kernel, Schedule
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.curvature import hessian_product, lanczos_quadrature, noise_vector


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Lanczos quadrature of the Hessian from vectors of gradient noise, at the widest SWA average after a branch point.

    The average is the centre about which the analytic model expands the loss. BatchNorm is in training mode, as the
    run sees it; the batches of the noise are others than those of the Hessian.

    Returns
    -------
    curvature_nodes : DataFrame
        seed, branch, start (number of the noise vector), curvature (κ of a node), power (variance of a batch's
        gradient there).
    """
    settings, start = lab.config.curvature, lab.branch_point(unit.seed, unit.step)
    average = RunningAverage(Kernel.swa(max(lab.config.side_trips.windows)), start.step)
    along = Schedule.constant(average.kernel.steps)
    lab.take_trip(start, lab.stream(unit.seed), along, [average, each_step(lab)])
    model, stream = lab.model().train(), lab.stream(unit.seed, f"curvature/{unit.step}")
    restore(with_weights(start, average.weights()), model)
    batches = [stream.batch(number + 1) for number in range(settings.batches)]
    one_step = training(lab.config, 1).passes

    def product(vector: Tensor) -> Tensor:
        lab.progress(DOUBLE_BACKWARD * settings.batches * one_step)
        return hessian_product(model, batches, vector)

    rows: list[tuple[object, ...]] = []
    for number in range(settings.starts):
        first = settings.batches + 2 * number + 1
        noise = noise_vector(model, stream.batch(first), stream.batch(first + 1))
        lab.progress(2 * one_step)
        found = lanczos_quadrature(product, noise, settings.nodes)
        rows += [(unit.seed, unit.step, number, *node) for node in zip(*found, strict=True)]
    return {"curvature_nodes": pd.DataFrame(rows, columns=COLUMNS)}
