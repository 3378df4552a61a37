"""Branch a training run exactly, and measure what the learning rate and weight averaging do there."""
