"""Where and how the work runs: devices, workers, scratch, progress. Nothing here changes a result."""
