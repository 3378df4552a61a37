"""Where and how the work runs: devices, determinism, workers, progress. Never changes a result."""
