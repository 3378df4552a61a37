"""What benchmarks are tried on."""

from collections.abc import Iterator

import pytest

from benchmarks.input import BenchmarkInput, prepared


@pytest.fixture(scope="module")
def work() -> Iterator[BenchmarkInput]:
    """The smoke variant on random pictures; of each module its own, for some leave results in its folder."""
    with prepared("smoke", "cpu", "smoke") as work:
        yield work
