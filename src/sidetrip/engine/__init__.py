"""What a training step's bits depend on, and nothing else: state, networks, batches, the step itself."""
