"""What benchmarks are tried on."""

from collections.abc import Iterator

import pytest
from helpers import smoke_config

from benchmarks.input import BenchmarkInput, prepared

# Which topics and stages there are does not depend on how much each measures.
LITTLE = {
    "evaluation.train_samples": 16,
    "evaluation.validation_samples": 16,
    "evaluation.recalibration_samples": 16,
    "single_step.batch_sizes": [16, 32],
}
DECODER = {"data.name": "shakespeare", "model.name": "decoder", "model.width": 8}


@pytest.fixture(scope="module", autouse=True)
def _little_work() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        configs = {"smoke": smoke_config(**LITTLE), "shakespeare": smoke_config(**LITTLE, **DECODER)}
        patch.setattr("benchmarks.input.resolve", lambda params, variant: configs[variant])
        yield


@pytest.fixture(scope="module")
def work(_little_work: None) -> Iterator[BenchmarkInput]:
    """The smoke variant on random pictures; of each module its own, for some leave results in its folder."""
    with prepared("smoke", "cpu", "smoke") as work:
        yield work
