"""Schedule files: when every request of a load is due, and what it asks, to be sent again exactly.

A Parquet file of one row per request (or conversation): ``id`` and ``due_ns``, its offset from the
start of the run. Its metadata hold the options that the load was made from, under
``llm_benchmark.arguments`` as a JSON array, from which the texts are made again; and the digests of
the files that these name, so that another file of the same name is not taken for them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm_benchmark.errors import OptionError
from llm_benchmark.files import replace as replace_file
from llm_benchmark.plan import make_load

if TYPE_CHECKING:
    from llm_benchmark.options import LoadOptions, RunOptions
    from llm_benchmark.plan import Load

ARGUMENTS = b"llm_benchmark.arguments"
DIGESTS = b"llm_benchmark.digests"
SCHEMA = pa.schema({"id": pa.int64(), "due_ns": pa.int64()})


def write_schedule(load: Load, options: LoadOptions, path: Path) -> None:
    """Write a schedule.

    Raises:
        OptionError: The load has no schedule, being a closed loop.
        OSError: The file cannot be written.
    """
    if load.due_ns is None or load.count is None:
        raise OptionError("--arrivals closed: has no schedule to write: answers decide on it")
    metadata = {
        ARGUMENTS: json.dumps(options.arguments()),
        DIGESTS: json.dumps({str(one): _digest(one) for one in _files(options)}),
    }
    columns = [np.arange(load.count), load.due_ns[: load.count]]
    with replace_file(path) as partial:
        pq.write_table(
            pa.table(columns, schema=SCHEMA.with_metadata(metadata)), partial, compression="zstd"
        )


def read_arguments(path: Path) -> list[str]:
    """Return the command-line arguments that a schedule was made from.

    Raises:
        OptionError: The file is no schedule, or a file that it names has changed.
    """
    metadata = _open(path).schema_arrow.metadata or {}
    if ARGUMENTS not in metadata:
        raise OptionError(f"--schedule {path}: is no schedule of llm-benchmark; give another file")
    digests: dict[str, str] = json.loads(metadata[DIGESTS])
    for name, digest in digests.items():
        if _digest(Path(name)) != digest:
            raise OptionError(
                f"--schedule {path}: was made from another {name}; put that file in its place"
            )
    arguments: list[str] = json.loads(metadata[ARGUMENTS])
    return arguments


@lru_cache(2)
def _read_due(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    due: np.ndarray[Any, np.dtype[np.int64]] = _open(path).read(["due_ns"])["due_ns"].to_numpy()
    return due


def load_of(options: RunOptions) -> Load:
    """Return the load of a run: read from its schedule file, or computed.

    Raises:
        OptionError: The options plan no request, or a file cannot be used.
    """
    load = make_load(options.load)
    if options.schedule is None:
        return load
    due_ns = _read_due(options.schedule)
    return replace(load, due_ns=due_ns, count=len(due_ns))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise OptionError(
            f"--schedule {path}: cannot be read ({error}); give a file of 'llm-benchmark schedule'"
        ) from error


def _files(options: LoadOptions) -> list[Path]:
    files = [path for path in (options.trace, options.dataset) if path is not None]
    if options.prompt is not None and options.prompt.startswith("@"):
        files.append(Path(options.prompt[1:]))
    if options.tokenizer not in ("words", "bytes"):
        files.append(Path(options.tokenizer) / "tokenizer.json")
    return files


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OptionError(f"{path}: cannot be read ({error})") from error
