"""Where and how the work runs: devices, determinism, workers, progress. Changes no result, but for the rounding
with the number of processes that a run goes over."""
