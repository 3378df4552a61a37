"""Where averaging replaces decay, and where it stops: all variants, windows, branch points and methods together."""

from __future__ import annotations

import pandas as pd

from sidetrip.config import Config
from sidetrip.verdicts.side_trips import by_point
from sidetrip.verdicts.statistics import NOT_REPRODUCED, REPRODUCED, Table, Tables, judge_equal

EQUIVALENT, NOT_EQUIVALENT, UNKNOWN = "equivalent", "not equivalent", "unknown"
SHOWN = {REPRODUCED: EQUIVALENT, NOT_REPRODUCED: NOT_EQUIVALENT}


def map_points(tables: Tables, config: Config) -> Table:
    """Whether average and trip are equal in validation loss, judged over seeds at each branch point and window.

    Returns
    -------
    DataFrame
        variant, schedule, rate_over_batch (λ at the branch point ÷ batch size), kernel, branch, late, window_steps,
        window_over_branch, n (seeds), fall, gain, gap (average − trip), all nats; ratio (gap ÷ gain) with ratio_low and
        ratio_high (Fieller; empty where unbounded); verdict (equivalent, not equivalent, unknown).
    """
    rows = by_point(tables, config).query("split == 'validation' and metric == 'loss'")
    burn_in, found = config.burn_in, []
    rates = tables["batch_losses"].groupby("step")["rate"].first()
    for key, here in rows.groupby(["kernel", "branch", "late", "window_steps"]):
        kernel, branch, late, window = str(key[0]), int(key[1]), bool(key[2]), int(key[3])  # type: ignore[call-overload]
        here = here.dropna(subset=["average_minus_trip", "gain"]).sort_values("seed")
        if here.empty or not branch:
            continue
        gap, gain = here["average_minus_trip"].to_numpy(), here["gain"].to_numpy()
        judged = judge_equal(gap, gain, config.claims.average_is_schedule, config.claims)
        assert judged.ratio is not None
        bounded = judged.ratio.bounded
        found.append(
            {
                "variant": config.variant,
                "schedule": burn_in.schedule,
                "rate_over_batch": float(rates.loc[branch]) / burn_in.batch_size,
                "kernel": kernel,
                "branch": branch,
                "late": late,
                "window_steps": window,
                "window_over_branch": window / branch,
                "n": len(here),
                "fall": here["fall"].mean(),
                "gain": gain.mean(),
                "gap": gap.mean(),
                "ratio": judged.ratio.value,
                "ratio_low": judged.ratio.low if bounded else float("nan"),
                "ratio_high": judged.ratio.high if bounded else float("nan"),
                "verdict": SHOWN.get(judged.verdict, UNKNOWN),
            }
        )
    return pd.DataFrame(found)
