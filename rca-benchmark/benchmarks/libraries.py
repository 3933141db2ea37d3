"""The libraries that compute the same graphs, with the settings that the methods use."""

from dataclasses import dataclass
from typing import Any

ALPHA = 0.05
MAX_LAG = 3
TAU_MAX = 10


@dataclass(frozen=True)
class Library:
    """What to call.

    Attributes:
        label: for the table.
        call: takes the values, rows x columns.
    """

    label: str
    call: Any


def causal_learn_pc(values):
    """The graph of PC."""
    from causallearn.search.ConstraintBased.PC import pc

    pc(values, alpha=ALPHA, show_progress=False)


def causal_learn_fci(values):
    """The graph of FCI."""
    from causallearn.search.ConstraintBased.FCI import fci

    fci(values, alpha=ALPHA, show_progress=False)


def causal_learn_ges(values):
    """The graph of GES."""
    from causallearn.search.ScoreBased.GES import ges

    ges(values)


def statsmodels_granger(values):
    """Granger's tests of all ordered pairs."""
    from statsmodels.tsa.stattools import grangercausalitytests

    count = values.shape[1]
    for effect in range(count):
        for cause in range(count):
            if cause != effect:
                grangercausalitytests(values[:, [effect, cause]], MAX_LAG)


def lingam_ica(values):
    """The graph of ICA-LiNGAM."""
    from lingam import ICALiNGAM

    ICALiNGAM(random_state=0).fit(values)


def lingam_direct(values):
    """The graph of DirectLiNGAM."""
    from lingam import DirectLiNGAM

    DirectLiNGAM().fit(values)


def tigramite_pcmci(values):
    """PCMCI with partial correlations."""
    from tigramite.data_processing import DataFrame
    from tigramite.independence_tests.parcorr import ParCorr
    from tigramite.pcmci import PCMCI

    PCMCI(DataFrame(values), ParCorr(), verbosity=0).run_pcmci(tau_max=TAU_MAX, pc_alpha=0.1)


LIBRARIES = {
    "pc": Library("causal-learn pc", causal_learn_pc),
    "fci": Library("causal-learn fci", causal_learn_fci),
    "ges": Library("causal-learn ges", causal_learn_ges),
    "granger": Library("statsmodels granger", statsmodels_granger),
    "lingam": Library("lingam ICALiNGAM", lingam_ica),
    "micro": Library("lingam DirectLiNGAM", lingam_direct),
    "microcause": Library("tigramite run_pcmci", tigramite_pcmci),
}


def library_of(method):
    """The key of the library that does a method's work; None where there is none."""
    if method == "micro_diag":
        return "micro"
    key = method if method == "microcause" else method.partition("_")[0]
    return key if key in LIBRARIES else None
