"""Scores of a ranking, and what chance alone would score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from rca_benchmark.evaluation.statistics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

Level = Literal["service", "indicator"]

TOP: Final = (1, 2, 3, 4, 5)
ALL: Final = "all"
# Level of the answer: column of its rank, column of the number of candidates.
LEVELS: Final[dict[Level, tuple[str, str]]] = {
    "service": ("rank_service", "candidates"),
    "indicator": ("rank_indicator", "candidate_indicators"),
}


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


def chance_accuracy_at(k: int, candidates: int) -> float:
    """Expected AC@k of a uniformly random order of n candidates: min(k, n) / n."""
    return min(k, candidates) / candidates


def chance_average_at_5(candidates: int) -> float:
    """Expected Avg@5 of a uniformly random order of n candidates: the mean of min(k, n) / n."""
    return sum(chance_accuracy_at(k, candidates) for k in TOP) / len(TOP)


def chance_reciprocal_rank(candidates: int) -> float:
    """Expected reciprocal rank of a uniformly random order of n candidates: H(n) / n."""
    return sum(1 / rank for rank in range(1, candidates + 1)) / candidates


def score_cases(results: pd.DataFrame, level: Level) -> pd.DataFrame:
    """The scores of each row of results, one by one: what every table and test starts from.

    A failure of any kind counts as wrong; rows of unreadable cases (status ``error``) are left
    out. At level ``indicator`` only the cases whose true indicator is known are kept.

    Returns:
        ``dataset, case, method, fault, target, tdelta, length, status, seconds, peak_mb``, then
        ``level``, ``failed`` (bool), ``rank`` (an answer that is not in the ranking takes the
        last place, the number of candidates), ``ac1, ac3, ac5, avg5, mrr`` and
        ``chance_ac1, chance_ac3, chance_ac5, chance_avg5, chance_mrr``, all between 0 and 1.
    """
    rank_column, count_column = LEVELS[level]
    rows = results[results["status"] != "error"]
    if level == "indicator":
        rows = rows[rows["indicator"].notna()]
    ranks = [None if pd.isna(value) else int(value) for value in rows[rank_column]]
    counts = [int(value) for value in rows[count_column]]
    scores: dict[str, Any] = {
        "rank": [count if rank is None else rank for rank, count in zip(ranks, counts, strict=True)]
    }
    scores |= {f"ac{k}": [accuracy_at(k, rank) for rank in ranks] for k in (1, 3, 5)}
    scores["avg5"] = [average_at_5(rank) for rank in ranks]
    scores["mrr"] = [reciprocal_rank(rank) for rank in ranks]
    scores |= {f"chance_ac{k}": [chance_accuracy_at(k, n) for n in counts] for k in (1, 3, 5)}
    scores["chance_avg5"] = [chance_average_at_5(n) for n in counts]
    scores["chance_mrr"] = [chance_reciprocal_rank(n) for n in counts]
    kept = ["dataset", "case", "method", "fault", "target", "tdelta", "length", "status"]
    return rows[[*kept, "seconds", "peak_mb"]].assign(
        level=level, failed=rows["status"] != "ok", **scores
    )


def with_marginals(scored: pd.DataFrame) -> pd.DataFrame:
    """The rows three times more: ``all`` as fault, as target, and as both.

    Data sets are never pooled: what wins on one system loses on another.
    """
    return pd.concat(
        [
            scored,
            scored.assign(fault=ALL),
            scored.assign(target=ALL),
            scored.assign(fault=ALL, target=ALL),
        ],
        ignore_index=True,
    )


def summarise(scored: pd.DataFrame) -> dict[str, float]:
    """Scores of a group of rows of ``score_cases``.

    Returns:
        ``cases, failed, ac1, ac3, ac5, avg5, mrr, mean_rank, chance_ac1, chance_ac3, chance_ac5,
        chance_avg5, chance_mrr, lift_avg5`` (Avg@5 less chance's), ``avg5_low, avg5_high`` (95 %,
        Wilson), ``seconds_median, seconds_p95, peak_mb_median, peak_mb_p95``.
    """
    names = ["ac1", "ac3", "ac5", "avg5", "mrr"]
    names += [f"chance_{name}" for name in names]
    means = {name: float(scored[name].mean()) for name in names}
    interval = wilson(means["avg5"], len(scored))
    spread = {
        f"{name}_{label}": float(scored[name].quantile(share))
        for name in ("seconds", "peak_mb")
        for label, share in (("median", 0.5), ("p95", 0.95))
    }
    return {
        "cases": len(scored),
        "failed": int(scored["failed"].sum()),
        **means,
        "mean_rank": float(scored["rank"].mean()),
        "lift_avg5": means["avg5"] - means["chance_avg5"],
        "avg5_low": interval.low,
        "avg5_high": interval.high,
        **spread,
    }
