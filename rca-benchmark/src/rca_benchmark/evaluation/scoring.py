"""Scores of a ranking, and what chance alone would score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP: Final = (1, 2, 3, 4, 5)


def rank_of(answer: str, ranked: Sequence[str]) -> int | None:
    """Place of the answer, from 1; None where it is not in the ranking."""
    return ranked.index(answer) + 1 if answer in ranked else None


def accuracy_at(k: int, rank: int | None) -> float:
    """AC@k of one case: 1 when the answer is among the first k, else 0."""
    return float(rank is not None and rank <= k)


def average_at_5(rank: int | None) -> float:
    """Avg@5 of one case: the mean of AC@1 to AC@5."""
    return sum(accuracy_at(k, rank) for k in TOP) / len(TOP)


def reciprocal_rank(rank: int | None) -> float:
    """1 / rank of one case, the term of MRR; 0 where the answer is not in the ranking."""
    return 0.0 if rank is None else 1 / rank


def chance_average_at_5(candidates: int) -> float:
    """Expected Avg@5 of a uniformly random order of n candidates: the mean of min(k, n) / n."""
    return sum(min(k, candidates) / candidates for k in TOP) / len(TOP)
