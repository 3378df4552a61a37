"""One run over several processes: data parallel, with the results of one process up to rounding."""

from sidetrip.engine.parallel.sharing import NoGroupError, RankLostError, Ranks, joined, ranks

__all__ = ["NoGroupError", "RankLostError", "Ranks", "joined", "ranks"]
