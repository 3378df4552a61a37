"""Names of the models, the corrections and the columns in the tables of the forecasts."""

MOMENTARY, MERGED, COOL_DOWN = "momentary", "merged", "cool-down"  # models
NO_DECAY = "none"  # the decay of a momentary model
NO_CORRECTION, LEARNED, PREDICTED = "none", "learned", "predicted"  # corrections
SCORED_ON = ("validation",)
METRICS = ("loss", "accuracy")
ALONG = ["seed", "step", "decay", "window_steps", "model", "loss", "accuracy"]
COOL_DOWNS = ["seed", "branch", "decay", "window_steps", "spacing_steps", "model", "loss", "accuracy"]
CELL = ["decay", "window_steps", "metric"]  # what a forecast is of
SEALED = [
    *("seed", "branch", *CELL, "correction", "momentary", "merged", "drift", "added"),
    *("forecast", "low", "high", "cool_downs", "steps_at_constant_rate"),
]
SEALS = ["seed", "branch", "sha256"]
