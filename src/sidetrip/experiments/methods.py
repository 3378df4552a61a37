"""The averaging methods that are compared with trips: a method added here is measured, drawn, judged and reported.

What readers see of them (titles, phrases, colours) is in verdicts/wording.py and report/style.py. Needs no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sidetrip.config import SideTrips
from sidetrip.kernels import Kernel


@dataclass(frozen=True)
class Method:
    """An averaging method."""

    name: str  # in tables, and at the end of the verdict's id
    kernels: Callable[[SideTrips], list[Kernel]]  # by the settings; the widest window is judged

    def widest(self, settings: SideTrips) -> Kernel:
        """The kernel of the widest window."""
        return max(self.kernels(settings), key=lambda kernel: kernel.steps)


METHODS = (
    Method("swa", lambda settings: [Kernel.swa(k) for k in settings.windows]),
    Method("two_point", lambda settings: [Kernel.two_point(k) for k in settings.two_point_windows]),
    Method("ema", lambda settings: [Kernel.ema(settings.ema_steps, newest=settings.ema_newest)]),
)
NAMES = tuple(method.name for method in METHODS)
