"""Log lines as counts of templates: which kinds of line each service wrote, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

# A line is told apart by how it begins; lists of values that vary in length come later.
MOST_TOKENS: Final = 20
PLACEHOLDER: Final = "<*>"
SIMILARITY: Final = 0.4  # Drain's st, as published
DEPTH: Final = 4  # Drain's depth, as published
SEVERE: Final = ("ERROR", "CRITICAL", "FATAL", "ALERT", "EMERGENCY", "PANIC", "SEVERE")
SEVERE_WORDS: Final = r"(?i)\b(?:error|exception|fail(?:ed|ure)?|fatal|panic|traceback)\b"


def template_counts(observation: Observation) -> pd.DataFrame:
    """How often each service wrote each template before and after the inject time.

    Templates are those of Drain (He et al., ICWS 2017): learnt on the lines before the inject
    time, in an order that does not depend on that of the lines; a later line that matches none of
    them founds a new one. Before that, every word with a digit in it becomes ``<*>``.

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
    names, codes = np.unique(np.array(_templates(texts, known), dtype=object), return_inverse=True)
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


def mask(messages: pd.Series[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The first words of each message, those with a digit replaced.

    Returns:
        For each message the place of its text, and the distinct texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    begin = rf"(?s)^\s*((?:\S+\s+){{0,{MOST_TOKENS - 1}}}\S*).*$"
    text = pa.table({"message": messages})["message"].cast(pa.large_string())
    text = pc.replace_substring_regex(text, begin, r"\1")
    text = pc.replace_substring_regex(text, r"\S*\d\S*", PLACEHOLDER)
    encoded = text.dictionary_encode().unify_dictionaries().combine_chunks()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _templates(texts: Sequence[str], known: NDArray[np.bool_]) -> list[str]:
    """The template of each text; those of known texts are learnt first, each in sorted order."""
    from drain3.drain import Drain

    drain = Drain(depth=DEPTH, sim_th=SIMILARITY, param_str=PLACEHOLDER)
    order = sorted(range(len(texts)), key=lambda place: (not known[place], texts[place]))
    clusters = {}
    for place in order:
        found = None if known[place] else drain.match(texts[place])
        clusters[place] = found or drain.add_log_message(texts[place])[0]
    return [clusters[place].get_template() for place in range(len(texts))]
