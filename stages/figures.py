"""Draw the figures and judge the claims: tables of runs/<variant> to reports/<variant>."""

from pathlib import Path

from sidetrip.claims.divergence import along_trips, distances_along
from sidetrip.claims.measure import measure
from sidetrip.claims.quadratic import covariance_ratios
from sidetrip.claims.single_step import best_steps, parabolas
from sidetrip.config import Config
from sidetrip.figures import alignment, averages, divergence, fixed_batch, quadratic, single_step, style
from sidetrip.files import files_in, read_bytes, read_table, seal, write_bytes, write_json, write_table
from sidetrip.kernels import Kernel
from sidetrip.runtime.stage import output_folder, stage

TABLES = {
    "burn_in": ("batch_losses",),
    "single_step": ("single_step", "curvature"),
    "side_trips": ("side_trips", "distances", "running_averages"),
    "fixed_batch": ("fixed_batch",),
    "divergence": ("trip_distances", "to_independent_end"),
    "alignment": ("alignment", "between_trips"),
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


def widest_kernels(config: Config) -> dict[str, Kernel]:
    """The widest kernel of each kind, by the name that the figures give it."""
    trips = config.side_trips
    kernels = {
        "swa": Kernel.swa(max(trips.windows)),
        "two_point": Kernel.two_point(max(trips.two_point_windows)),
        "ema": Kernel.ema(trips.ema_steps, newest=trips.ema_newest),
    }
    return {f"{style.KERNEL_TITLES[name]}, {kernel.steps} steps": kernel for name, kernel in kernels.items()}


@stage
def main(config: Config) -> None:
    target = Path("reports") / config.variant
    tables = {}
    for source, names in TABLES.items():
        for name in names:
            path = output_folder(config, source) / f"{name}.csv"
            tables[name] = read_table(path)
            write_bytes(target / "tables" / path.name, read_bytes(path))
    best = best_steps(tables["single_step"])
    write_table(best, target / "tables" / "best_steps.csv")
    losses = along_trips(tables["side_trips"])
    distances = distances_along(tables["trip_distances"], tables["distances"])
    write_table(parabolas(tables["single_step"], tables["curvature"]), target / "tables" / "parabolas.csv")

    style.apply_style()
    seed, branch, size = config.seeds[0], config.branch.points[-1], min(config.single_step.batch_sizes)
    running, trips = tables["running_averages"], tables["side_trips"]
    sweep, curvature, zoom = tables["single_step"], tables["curvature"], config.single_step.zoom
    figures = {
        "figure_1": averages.figure_1(running, trips, seed),
        "figure_2": single_step.figure_2(sweep, curvature, seed, branch, size, zoom),
        "figure_2_variations": single_step.figure_2_variations(sweep, curvature, seed, branch, size),
        "figure_3": fixed_batch.figure_3(tables["fixed_batch"], seed),
        "figure_4": quadratic.figure_4(tables["stationary_points"]),
        "figure_5": averages.figure_5(running, trips, seed),
        "figure_6": divergence.figure_6(distances, losses),
        "figure_7": alignment.figure_7(tables["alignment"], tables["between_trips"]),
        "figure_8": divergence.figure_8(tables["to_independent_end"]),
        "figure_9": quadratic.figure_9(tables["two_scales"]),
        "figure_10": averages.figure_10(running, trips, seed),
        "figure_11": quadratic.figure_11(tables["two_scales"]),
        "figure_12": single_step.figure_12(sweep, seed),
        "figure_13": single_step.figure_13(best),
        "figure_14": averages.figure_14(running, trips, seed),
        "rate_factors": averages.rate_factors(widest_kernels(config)),
        "lemma_1": quadratic.lemma_1(tables["lemma_1"]),
        "appendix_a": quadratic.appendix_a(covariance_ratios(tables["appendix_a"], config.claims.confidence)),
    }
    for name, figure in figures.items():
        style.save_figure(figure, target / "figures" / f"{name}.png")

    claims = measure(tables, config)
    write_json(target / "claims.json", claims)
    metrics = {row["id"]: row["value"] for row in claims if row["value"] is not None}
    write_json(target / "metrics.json", metrics)
    # What the report is made from, and what a reader may check: `sha256sum --check SHA256SUMS`.
    made = [
        *files_in(target / "tables"),
        *files_in(target / "figures"),
        target / "claims.json",
        target / "metrics.json",
    ]
    seal(target, made)


if __name__ == "__main__":
    main()
