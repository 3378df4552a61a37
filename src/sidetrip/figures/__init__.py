"""Tables to figures, one module per experiment; none imports torch."""

from sidetrip.figures import alignment, divergence, fixed_batch, forecast, quadratic, side_trips, single_step

# Each returns the figures of its experiment by name, from all tables and the configuration.
FIGURES = tuple(
    module.draw for module in (single_step, fixed_batch, side_trips, divergence, alignment, quadratic, forecast)
)
