"""Secrets in log messages, masked before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MASK: Final = "***"
# Expressions of RE2 (github.com/google/re2/wiki/Syntax); the first group, if any, stays.
_PATTERNS: Final = (
    # scheme://user:password@host
    r"([A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]+:)[^/\s@]+@",
    # Authorization: Bearer abc, "authorization": "Basic abc"
    r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token)\s+)[^\s'\",;]+",
    r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}",
    # password=abc, "api_key": "abc", --token abc is left to the two above and below
    r"(?i)(\b[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|hf[_-]?token)"
    r"['\"]?\s*[:=]\s*['\"]?)[^\s'\",;&}]+",
    # Keys that are told by how they look: OpenAI, Anthropic, Hugging Face, GitHub, AWS, JWT
    r"\b()(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
)


def mask_secrets(messages: pd.Series[str]) -> tuple[pd.Series[str], int]:
    """Messages with ``***`` in the place of passwords, tokens and keys, and how many had any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = pa.table({"message": messages})["message"].cast(pa.large_string())
    suspects = pc.fill_null(_suspicious(before), False)
    changed = pc.sum(suspects).as_py() or 0
    if not changed:
        return messages, 0
    after = before
    for pattern in _PATTERNS:
        end = "@" if pattern.endswith("@") else ""
        after = pc.replace_substring_regex(after, pattern, rf"\1{MASK}{end}")
    masked: pd.Series[str] = after.to_pandas().astype("str").set_axis(messages.index)
    return masked, int(pc.sum(pc.not_equal(before, after)).as_py() or 0)


def _suspicious(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """A quick look for any of the patterns, so that clean logs are not copied."""
    import pyarrow.compute as pc

    return pc.match_substring_regex(text, "|".join(f"(?:{pattern})" for pattern in _PATTERNS))
