"""The evaluator of a lab: every model of an experiment is scored on the same samples."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from sidetrip.data.packed import SPLITS
from sidetrip.engine.lab import Lab
from sidetrip.engine.randomness import generator
from sidetrip.engine.state import TrainState
from sidetrip.engine.streams import FixedBatches
from sidetrip.experiments.work import scoring
from sidetrip.measure.evaluation import Evaluator, Score


def scores(lab: Lab, state: TrainState, splits: tuple[str, ...] = SPLITS) -> Iterator[tuple[str, Score]]:
    """Yield (split, score) of a state."""
    yield from evaluator(lab, splits)(state)
    lab.progress(scoring(lab.config, 1, splits).passes)


@cache
def evaluator(lab: Lab, splits: tuple[str, ...]) -> Evaluator:
    """Scores states on fixed parts of the splits; made once per lab."""
    settings, validation = lab.config.evaluation, lab.loader("validation")
    order = generator("evaluation").permutation(len(lab.train))
    scored, recalibration = order[: settings.train_samples], order[::-1][: settings.recalibration_samples]
    validated = np.arange(len(validation))
    if settings.validation_samples:
        validated = generator("validation").permutation(len(validation))[: settings.validation_samples]
    scored_on = {
        "train": FixedBatches(lab.train, scored, settings.batch_size),
        "validation": FixedBatches(validation, validated, settings.batch_size),
    }
    batches = FixedBatches(lab.train, recalibration, settings.batch_size)
    return Evaluator(lab.model(), batches, {split: scored_on[split] for split in splits}, lab.config.model.precision)
