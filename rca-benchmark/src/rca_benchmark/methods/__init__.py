"""Root cause analysis methods, one file each. Importing this package registers them all."""

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import (  # noqa: F401 - imported to be registered
    alert_count,
    baro,
    causalai,
    causalrca,
    circa,
    cloudranger,
    cmlp,
    constant,
    e_diagnosis,
    fci,
    ges,
    granger,
    ht,
    lingam,
    llm_serving,
    max_z,
    micro_diag,
    microcause,
    microrank,
    microrca,
    microscope,
    mmbaro,
    mmnsigma,
    monitorrank,
    nsigma,
    pc,
    pdiagnose,
    rcd,
    shuffle,
    simple_rca,
    torai,
    tracerca,
)
from rca_benchmark.methods.ranking import Ranking, rank_by_score, rank_by_service
from rca_benchmark.methods.registry import Method, all_methods, get_method, method

__all__ = [
    "Method",
    "MethodFailed",
    "Ranking",
    "all_methods",
    "get_method",
    "method",
    "rank_by_score",
    "rank_by_service",
]
