"""Facts of the section, from the tables."""

from typing import Any

from sidetrip.config import Config
from sidetrip.experiments.single_step.verdict import BATCH, has_batchnorm, paper_setting
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.statistics import late


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows: means over the own batches of the run's own size at late branch points."""
    best_steps, size = tables["best_steps"], config.burn_in.batch_size
    best = late(paper_setting(best_steps), config.branch.points).query("batch_size == @size")
    own, held = (best[best["batch"] == kind].set_index(BATCH) for kind in ("own", "held_out"))
    ratios = (held["best_step_size"] / own["best_step_size"]).where(own["best_step_size"] > 0)
    step = {
        "n": len(own),
        "batch_size": size,
        "own_start": own["start"].mean(),
        "own_lowest": own["lowest"].mean(),
        "held_start": held["start"].mean(),
        "held_lowest": held["lowest"].mean(),
        "rate_ratio": ratios.mean(skipna=False),  # undefined where no step lowers the loss of an own batch
    }
    return {"step": step, "batchnorm": has_batchnorm(best_steps)}
