"""Which causes a linear model needs: the adaptive lasso, from correlations alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def adaptive_lasso(
    correlations: NDArray[np.float64], rows: int, predictors: NDArray[np.int64], target: int
) -> NDArray[np.float64]:
    """Coefficients of the predictors that the adaptive lasso keeps, 0 for the others.

    Zou, JASA 2006, as LiNGAM uses it: predictors are weighted by their least squares coefficients;
    of all points at which the lasso path bends, the one with the least BIC (with the noise
    variance of the full model, Zou, Hastie, Tibshirani, Annals of Statistics 2007) says which
    predictors stay; least squares on those gives the coefficients. The same as package lingam's
    ``predict_adaptive_lasso``, on standardised data.

    Args:
        correlations: N x N, of standardised series.
        rows: from how many they were computed; at least 2 more than there are predictors.
        predictors: columns, independent of each other.
        target: a column.

    Returns:
        One coefficient per predictor.
    """
    gram = correlations[np.ix_(predictors, predictors)]
    moment = correlations[predictors, target]
    weight = np.linalg.solve(gram, moment)
    noise = max(1.0 - float(weight @ moment), 0.0) * rows / (rows - len(predictors) - 1)
    kept = np.zeros(len(predictors), dtype=bool)
    usable = np.flatnonzero(weight)
    if usable.size and noise > 0:
        scale = np.abs(weight[usable])
        weighted = gram[np.ix_(usable, usable)] * np.outer(scale, scale)
        weighted_moment = moment[usable] * scale
        path = lasso_path(weighted, weighted_moment)
        gain = 2 * path @ weighted_moment - np.einsum("kp,kp->k", path @ weighted, path)
        unexplained = rows * (1.0 - gain)
        criterion = unexplained / noise + np.log(rows) * (path != 0).sum(axis=1)
        kept[usable] = path[np.argmin(criterion)] != 0
    elif usable.size:  # a perfect fit: nothing to weigh against
        kept[usable] = True
    found = np.zeros(len(predictors))
    if kept.any():
        found[kept] = np.linalg.solve(gram[np.ix_(kept, kept)], moment[kept])
    return found


def lasso_path(gram: NDArray[np.float64], moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients at every point where the lasso path bends, from none to least squares.

    The homotopy of Efron, Hastie, Johnstone, Tibshirani: Least angle regression, Annals of
    Statistics 2004, section 3.1, with the lasso's modification.

    Args:
        gram: P x P, positive definite.
        moment: length P: products of the predictors and the target.

    Returns:
        K x P, the first row all 0.
    """
    count = len(moment)
    coefficients = np.zeros(count)
    active = np.zeros(count, dtype=bool)
    path = [coefficients]
    left = moment.copy()
    level = np.abs(left).max(initial=0.0)
    if level > 0:
        active[np.argmax(np.abs(left))] = True
    while level > 0 and active.any():
        chosen = np.flatnonzero(active)
        direction = np.linalg.solve(gram[np.ix_(chosen, chosen)], np.sign(left[chosen]))
        pull = gram[:, chosen] @ direction
        step, joins = _next_join(left, level, pull, active)
        shrinking = coefficients[chosen] * direction < 0
        crossing = np.full(len(chosen), np.inf)
        np.divide(-coefficients[chosen], direction, out=crossing, where=shrinking)
        leaves = int(np.argmin(crossing))
        moved = coefficients.copy()
        if crossing[leaves] < step:
            moved[chosen] += crossing[leaves] * direction
            moved[chosen[leaves]] = 0.0
            active[chosen[leaves]] = False
            step = crossing[leaves]
        else:
            moved[chosen] += step * direction
            if joins is not None:
                active[joins] = True
        coefficients = moved
        path.append(coefficients)
        left = moment - gram @ coefficients
        level = level - step  # 0 once everything has been explained
    return np.array(path)


def _next_join(
    left: NDArray[np.float64],
    level: float,
    pull: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> tuple[float, int | None]:
    """How far to go until another predictor is as correlated, and which; all the way if none."""
    idle = np.flatnonzero(~active)
    if not idle.size:
        return level, None
    rising, falling = 1.0 - pull[idle], 1.0 + pull[idle]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.stack([(level - left[idle]) / rising, (level + left[idle]) / falling])
    steps[~(steps > level * 1e-12)] = np.inf
    place = int(np.argmin(steps.min(axis=0)))
    nearest = float(steps[:, place].min())
    return (nearest, int(idle[place])) if nearest < level else (level, None)
