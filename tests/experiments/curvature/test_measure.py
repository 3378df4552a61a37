"""The spectrum of the gradient noise, against noise and Hessian at an average written out."""

import pytest
from helpers import advanced

from sidetrip.engine.state import restore, with_weights
from sidetrip.experiments.curvature.measure import measure
from sidetrip.experiments.units import BranchPoint
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.curvature import hessian_product, noise_vector


def test_the_first_moments_are_those_of_a_noise_vector_at_the_widest_average(lab, branched):
    """Its squared length, and with the Hessian of other batches its curvature."""
    settings, start, average = lab.config.curvature, lab.branch_point(0, 20), RunningAverage(Kernel.swa(10), 20)
    advanced(lab, start, 10, [average])
    model, stream = lab.model().train(), lab.stream(0, "curvature/20")
    restore(with_weights(start, average.weights()), model)
    noise = noise_vector(model, *(stream.batch(settings.batches + number) for number in (1, 2)))
    product = hessian_product(model, [stream.batch(number + 1) for number in range(settings.batches)], noise)
    nodes = measure(lab, BranchPoint(0, 20))["curvature_nodes"].query("start == 0")
    assert 1 < len(nodes) <= settings.nodes
    assert nodes["power"].sum() == pytest.approx(float(noise @ noise), rel=1e-4)
    assert (nodes["power"] * nodes["curvature"]).sum() == pytest.approx(float(noise @ product), rel=1e-3)
