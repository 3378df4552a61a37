"""Tables to figures, one module per experiment; none imports torch."""

from sidetrip.experiments.pages import providing

# Each returns the figures of its experiment by name, from all tables and the configuration.
FIGURES = tuple(module.draw for module in providing("sidetrip.figures", "draw"))
