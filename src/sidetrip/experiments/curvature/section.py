"""Facts of the section, from the tables."""

from typing import Any

import pandas as pd

from sidetrip.config import Config
from sidetrip.experiments.curvature.verdict import KEYS
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.wording import method_words, methods_in_order


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows."""
    table = tables.get("second_order", pd.DataFrame(columns=[*KEYS, "measured"]))
    known = table.dropna()
    means = known.groupby(KEYS)[[name for name in known.columns if name not in ("seed", *KEYS)]].mean()
    rows = [
        {"title": method_words(kernel).title, "window": window, **row.to_dict()}
        for kernel in methods_in_order(known["kernel"])
        for window, row in means.loc[kernel].iterrows()
    ]
    return {"second_order": rows}
