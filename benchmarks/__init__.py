"""How fast the pipeline is, against the hardware and against the same work written with stock parts."""
