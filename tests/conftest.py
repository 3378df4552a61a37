"""Shared settings of the tests."""

from hypothesis import settings

# A shared machine can stall any example, and no test here is about time.
settings.register_profile("sidetrip", deadline=None, derandomize=False, max_examples=50)
settings.load_profile("sidetrip")
