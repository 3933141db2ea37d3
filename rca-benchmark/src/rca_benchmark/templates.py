"""Log messages as templates: what is constant in a message, with ``<*>`` for what varies.

Templates are those of Drain (He et al., ICWS 2017), by the library drain3, learnt on messages in
which every word with a digit is ``<*>`` already.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A line is told apart by how it begins; lists of values that vary in length come later.
MOST_TOKENS: Final = 20
PLACEHOLDER: Final = "<*>"
SIMILARITY: Final = 0.4  # Drain's st, as published
DEPTH: Final = 4  # Drain's depth, as published
_AT_ONCE: Final = 50_000  # messages; masking holds several copies of their text


def mask(messages: pd.Series[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The first words of each message, those with a digit replaced.

    Returns:
        For each message the place of its text, and the distinct texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    begin = rf"(?s)^\s*((?:\S+\s+){{0,{MOST_TOKENS - 1}}}\S*).*$"
    places = np.empty(len(messages), dtype=np.int64)
    texts: dict[str, int] = {}
    for start in range(0, len(messages), _AT_ONCE):
        part = messages.iloc[start : start + _AT_ONCE]
        text = pa.table({"message": part})["message"].combine_chunks().cast(pa.large_string())
        text = pc.replace_substring_regex(text, begin, r"\1")
        text = pc.replace_substring_regex(text, r"\S*\d\S*", PLACEHOLDER)
        encoded = text.dictionary_encode()
        known = [texts.setdefault(name, len(texts)) for name in encoded.dictionary.to_pylist()]
        places[start : start + len(part)] = np.array(known, dtype=np.int64)[encoded.indices]
    return places, list(texts)


def learn(texts: Sequence[str], known: NDArray[np.bool_]) -> list[str]:
    """The template of each text; those of known texts are learnt first, each in sorted order.

    A text that is not known founds a new template where it matches none of the known ones.
    """
    from drain3.drain import Drain

    drain = Drain(depth=DEPTH, sim_th=SIMILARITY, param_str=PLACEHOLDER)
    order = sorted(range(len(texts)), key=lambda place: (not known[place], texts[place]))
    clusters = {}
    for place in order:
        found = None if known[place] else drain.match(texts[place])
        clusters[place] = found or drain.add_log_message(texts[place])[0]
    return [clusters[place].get_template() for place in range(len(texts))]


def number(messages: pd.Series[str]) -> tuple[pd.Series[str], pd.DataFrame]:
    """The template of each message, learnt on all of them.

    Returns:
        For each message the identity of its template, 8 hex digits of the SHA-256 of its text, so
        that equal templates of two cases have the same; and one row per template, sorted by
        identity: ``template``, ``text``, ``lines``.
    """
    places, texts = mask(messages)
    learnt = learn(texts, np.ones(len(texts), dtype=bool))
    names = [hashlib.sha256(text.encode()).hexdigest()[:8] for text in learnt]
    identities = pd.Series(np.array(names, dtype=object)[places], dtype="str")
    lines = np.bincount(places, minlength=len(texts))
    table = pd.DataFrame({"template": names, "text": learnt, "lines": lines})
    grouped = table.groupby(["template", "text"])["lines"].sum().reset_index()
    return identities, grouped.astype({"template": "str", "text": "str", "lines": "int64"})
