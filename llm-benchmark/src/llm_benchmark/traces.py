"""Load that once was: traces of real services, replayed.

Recognised by their columns, whatever the case:

- Azure's LLM inference trace (https://github.com/Azure/AzurePublicDataset): CSV with ``TIMESTAMP``
  (date and time), ``ContextTokens``, ``GeneratedTokens``.
- Mooncake (https://github.com/kvcache-ai/Mooncake): JSON lines with ``timestamp`` (ms),
  ``input_length``, ``output_length`` and ``hash_ids``, ids of the prompt's blocks of 512 tokens.
- BurstGPT (https://github.com/HPMLL/BurstGPT): CSV with ``Timestamp`` (s), ``Request tokens``,
  ``Response tokens``.
- plain: CSV or JSON lines with ``time_s`` or ``time_ms``, ``prompt_tokens``, ``output_tokens``.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS
from llm_benchmark.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one kind of trace, in lower case.

    Attributes:
        name: What it is called.
        time: When a request came.
        unit_ns: Unit of that time, ns; zero for dates.
        prompt: Tokens of its prompt.
        output: Tokens of its answer.
    """

    name: str
    time: str
    unit_ns: int
    prompt: str
    output: str


LAYOUTS = (
    Layout("Azure", "timestamp", 0, "contexttokens", "generatedtokens"),
    Layout("Mooncake", "timestamp", MILLISECOND_NS, "input_length", "output_length"),
    Layout("BurstGPT", "timestamp", SECOND_NS, "request tokens", "response tokens"),
    Layout("plain", "time_s", SECOND_NS, "prompt_tokens", "output_tokens"),
    Layout("plain", "time_ms", MILLISECOND_NS, "prompt_tokens", "output_tokens"),
)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace ready to be replayed; all arrays have shape (requests,).

    Attributes:
        due_ns: Offsets from the first request, ns, ascending.
        prompt_tokens: Tokens of each prompt, above zero.
        output_tokens: Tokens of each answer, above zero.
        hash_ids: Ids of each prompt's blocks; None where the trace has none.
        left_out: Rows without tokens, such as failed requests, that are not replayed.
    """

    due_ns: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    hash_ids: tuple[tuple[int, ...], ...] | None
    left_out: int


def read_trace(path: Path, *, speed: float = 1.0, duration_ns: int | None = None) -> Trace:
    """Read a trace.

    Args:
        path: CSV, or JSON lines (by the first character).
        speed: How much faster than recorded to replay it.
        duration_ns: Leave out what comes so long after the start or later; None keeps all.

    Raises:
        OptionError: The file cannot be read, or has no request.
    """
    frame = _read(path)
    layout = _layout(path, frame)
    times_ns = _times(path, frame[layout.time], layout)
    prompts, outputs = (_counts(path, frame[name]) for name in (layout.prompt, layout.output))
    usable = (prompts > 0) & (outputs > 0)
    order = np.flatnonzero(usable)[np.argsort(times_ns[usable], kind="stable")]
    if not len(order):
        raise _problem(path, "it has no request with tokens", "give a trace with some")
    due_ns = np.round((times_ns[order] - times_ns[order[0]]) / speed).astype(np.int64)
    if duration_ns is not None:
        order, due_ns = order[due_ns < duration_ns], due_ns[due_ns < duration_ns]
    hash_ids = None
    if "hash_ids" in frame:
        hash_ids = tuple(tuple(frame["hash_ids"].iloc[row]) for row in order)
    return Trace(due_ns, prompts[order], outputs[order], hash_ids, int((~usable).sum()))


def _read(path: Path) -> pd.DataFrame:
    try:
        data = path.read_bytes()
        if data.startswith(b"{"):
            frame = pd.DataFrame([orjson.loads(line) for line in data.splitlines() if line.strip()])
        else:
            frame = pd.read_csv(BytesIO(data))
    except (OSError, ValueError) as error:
        raise _problem(path, f"cannot be read ({error})", "give CSV or JSON lines") from error
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _layout(path: Path, frame: pd.DataFrame) -> Layout:
    for layout in LAYOUTS:
        if {layout.time, layout.prompt, layout.output} <= set(frame.columns):
            return layout
    known = "; ".join(f"{one.name}: {one.time}, {one.prompt}, {one.output}" for one in LAYOUTS)
    found = ", ".join(frame.columns)
    raise _problem(path, f"its columns ({found}) are of no known trace", f"known are {known}")


def _times(path: Path, column: pd.Series[Any], layout: Layout) -> NDArray[np.int64]:
    if layout.unit_ns:
        return np.round(_numbers(path, column) * layout.unit_ns).astype(np.int64)
    times = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    _refuse_missing(path, column, times.isna().to_numpy())
    epoch_ns: NDArray[np.int64] = times.to_numpy("datetime64[ns]").astype(np.int64)
    return epoch_ns


def _counts(path: Path, column: pd.Series[Any]) -> NDArray[np.int64]:
    return _numbers(path, column).astype(np.int64)


def _numbers(path: Path, column: pd.Series[Any]) -> NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    _refuse_missing(path, column, ~np.isfinite(numbers) | (numbers < 0))
    return numbers


def _refuse_missing(path: Path, column: pd.Series[Any], bad: NDArray[np.bool_]) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise _problem(
            path,
            f"row {row + 1}: {column.name} is {str(column.iloc[row])!r}",
            "mend or remove that row",
        )


def _problem(path: Path, what: str, remedy: str) -> OptionError:
    return OptionError(f"--trace {path}: {what}; {remedy}")
