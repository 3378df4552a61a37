"""What is measured of states: averages, losses, BatchNorm statistics, the analytic model."""
