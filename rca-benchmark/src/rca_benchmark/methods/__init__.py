"""Root cause analysis methods, one file each. Importing this package registers them all."""

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import baro, nsigma, shuffle  # noqa: F401 - imported to be registered
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import Method, all_methods, get_method, method

__all__ = [
    "Method",
    "MethodFailed",
    "Ranking",
    "all_methods",
    "get_method",
    "method",
    "rank_by_score",
]
