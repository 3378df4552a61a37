"""Memory that a process has freed stays with it."""

from __future__ import annotations

import ctypes

MALLOPT_TRIM_THRESHOLD, MALLOPT_MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let malloc reuse freed memory instead of handing it back; does nothing where there is no glibc.

    Activations are allocated and freed in every forward pass. glibc hands the larger ones back each time, and every
    page of the next ones is then faulted in and zeroed anew. The peak is the same: memory is kept, not hoarded.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MALLOPT_TRIM_THRESHOLD, LARGEST)
        mallopt(MALLOPT_MMAP_THRESHOLD, LARGEST)
