"""Refusals before anything is computed: none changes a result, and no stage depends on them."""
