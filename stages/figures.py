"""Draw the figures and judge the claims: tables of runs/<variant> to reports/<variant>."""

import json
import shutil
from pathlib import Path

import pandas as pd

from sidetrip.claims.measure import measure
from sidetrip.claims.quadratic import covariance_ratios
from sidetrip.config import Config
from sidetrip.figures import averages, quadratic, single_step, style
from sidetrip.runtime.stage import output_folder, stage

TABLES = {
    "single_step": ("single_step",),
    "side_trips": ("side_trips", "distances", "running_averages"),
    "burn_in": ("batch_losses",),
    "quadratic": (
        "lemma_1",
        "lemma_2",
        "drag_and_drift",
        "midpoint_ratios",
        "stationary_points",
        "two_scales",
        "appendix_a",
    ),
}


@stage
def main(config: Config) -> None:
    target = Path("reports") / config.variant
    tables = {}
    (target / "tables").mkdir(parents=True, exist_ok=True)
    for source, names in TABLES.items():
        for name in names:
            path = output_folder(config, source) / f"{name}.csv"
            tables[name] = pd.read_csv(path)
            shutil.copyfile(path, target / "tables" / path.name)

    style.apply_style()
    seed, branch, size = config.seeds[0], config.branch.points[-1], min(config.single_step.batch_sizes)
    running, trips = tables["running_averages"], tables["side_trips"]
    figures = {
        "figure_1": averages.figure_1(running, trips, seed),
        "figure_2": single_step.figure_2(tables["single_step"], seed, branch, size),
        "figure_5": averages.figure_5(running, trips, seed),
        "figure_5_validation_loss": averages.figure_5(running, trips, seed, "validation", "loss"),
        "figure_5_train_accuracy": averages.figure_5(running, trips, seed, "train", "accuracy"),
        "figure_5_train_loss": averages.figure_5(running, trips, seed, "train", "loss"),
        "figure_4": quadratic.figure_4(tables["stationary_points"]),
        "figure_9": quadratic.figure_9(tables["two_scales"]),
        "figure_11": quadratic.figure_11(tables["two_scales"]),
        "lemma_1": quadratic.lemma_1(tables["lemma_1"]),
        "appendix_a": quadratic.appendix_a(covariance_ratios(tables["appendix_a"], config.claims.confidence)),
    }
    for name, figure in figures.items():
        style.save_figure(figure, target / "figures" / f"{name}.png")

    claims = measure(tables, config)
    (target / "claims.json").write_text(json.dumps(claims, indent=2, ensure_ascii=False) + "\n")
    metrics = {row["id"]: row["value"] for row in claims if row["value"] is not None}
    (target / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    main()
