"""Facts of the section, from the tables."""

from typing import Any

from sidetrip.config import Config
from sidetrip.verdicts.records import Tables
from sidetrip.verdicts.wording import method_words, methods_in_order

SHARES = ("difference", "noise", "rest", "slide")  # of the gain


def facts(tables: Tables, config: Config) -> dict[str, Any]:
    """What the section shows: means over seeds, by method and split."""
    found = tables["replica_parts"]
    means = found.drop(columns="seed").groupby(["kernel", "window_steps", "split"]).mean().reset_index()
    means[list(SHARES)] = means[list(SHARES)].div(means["gain"], axis=0)
    return {
        "replica_parts": [
            {"title": method_words(method).title, **row}
            for method in methods_in_order(means["kernel"])
            for row in means[means["kernel"] == method].sort_values("split", ascending=False).to_dict("records")
        ]
    }
