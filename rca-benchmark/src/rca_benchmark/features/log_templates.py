"""Log lines as counts of templates: which kinds of line each service wrote, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.preprocess import shared
from rca_benchmark.templates import learn, mask

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

SEVERE: Final = ("ERROR", "CRITICAL", "FATAL", "ALERT", "EMERGENCY", "PANIC", "SEVERE")
SEVERE_WORDS: Final = r"(?i)\b(?:error|exception|fail(?:ed|ure)?|fatal|panic|traceback)\b"


def template_counts(observation: Observation) -> pd.DataFrame:
    """How often each service wrote each template before and after the inject time.

    Templates (see ``templates``) are learnt on the lines before the inject time, in an order that
    does not depend on that of the lines; a later line that matches none of them founds a new one.

    Returns:
        One row per (service, template), sorted: ``service``, ``template``, ``severe`` (a line of it
        has a level from error on, or it has a word such as "exception"), ``before`` and ``after``
        (lines), ``first_after`` (UTC epoch ns of the first line after the inject time; 0 for none).
        Without an inject time all lines count as before. Empty where there are no logs.
    """
    return shared(observation, "template counts", lambda: _count(observation))


def _count(observation: Observation) -> pd.DataFrame:
    logs = observation.logs
    inject = observation.inject_time_ns
    late = np.zeros(len(logs), dtype=bool) if inject is None else logs["time"].to_numpy() >= inject
    masked, texts = mask(logs["message"])
    known = np.zeros(len(texts), dtype=bool)
    known[masked[~late]] = True
    names, codes = np.unique(np.array(learn(texts, known), dtype=object), return_inverse=True)
    lines = pd.DataFrame(
        {
            "service": logs["service"].to_numpy(),
            "template": codes[masked],
            "severe": logs["level"].str.upper().isin(SEVERE).to_numpy(),
            "before": ~late,
            "after": late,
            "first_after": np.where(late, logs["time"].to_numpy(), np.iinfo(np.int64).max),
        }
    )
    groups = lines.groupby(["service", "template"], sort=True)
    table = groups.agg(
        severe=("severe", "any"),
        before=("before", "sum"),
        after=("after", "sum"),
        first_after=("first_after", "min"),
    ).reset_index()
    table["template"] = pd.Series(names[table["template"].to_numpy()], dtype="str")
    table["severe"] |= table["template"].str.contains(SEVERE_WORDS, regex=True)
    table.loc[table["after"] == 0, "first_after"] = 0
    return table
