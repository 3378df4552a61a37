"""One module an experiment: (branch point, settings) to a tidy table."""
