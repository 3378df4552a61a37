"""What workers need, loaded once by the process that they are forked from.

It starts no thread and no GPU, so that a fork is safe. The collector of unreachable objects finds none among modules,
and takes a sixth of the time that torch takes to load; what is loaded is then left out of its later rounds.
"""

import gc

gc.disable()
import pandas as pd  # noqa: E402, F401
import torch  # noqa: E402, F401

import sidetrip.engine.lab  # noqa: E402, F401
import sidetrip.runtime.experiment  # noqa: E402, F401

gc.freeze()
gc.enable()
