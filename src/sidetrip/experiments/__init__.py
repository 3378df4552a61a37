"""A folder an experiment: what there is to measure, measuring it, verdicts, figures, its part of the report."""
