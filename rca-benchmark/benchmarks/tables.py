"""The results of the method benchmark as text."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("method", "s", "MiB", "RCAEval s", "ratio", "library", "library s", "ratio")
PACKAGES = ("numpy", "scipy", "scikit-learn", "causal-learn", "statsmodels", "tigramite", "lingam")
PEER_PACKAGES = ("RCAEval", "numpy", "scipy", "torch", "causal-learn")


@dataclass(frozen=True)
class Row:
    """One method: what ``stopwatch.measure`` says of ours, of RCAEval's, of the library's."""

    method: str
    ours: dict
    peer: dict
    library: str
    library_result: dict


def method_table(rows, *, measured):
    """The lines of the table, its sums and what crashed.

    Args:
        rows: one per method.
        measured: whether RCAEval was measured at all.
    """
    cells = [HEADINGS, *(row_cells(row, measured) for row in rows), *sums(rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    left = (0, 5)
    lines = [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return [*lines, *errors(rows)]


def row_cells(row, measured):
    """A row as text."""
    peer = result_text(row.peer) if measured else "not measured"
    mib = f"{row.ours['mib']:.1f}" if "mib" in row.ours else ""
    library = result_text(row.library_result) if row.library else ""
    return (
        row.method,
        result_text(row.ours),
        mib,
        peer,
        ratio(row.ours, row.peer),
        row.library,
        library,
        ratio(row.ours, row.library_result),
    )


def sums(rows):
    """Two sums, over the methods that RCAEval finished, and over those it did not finish as well.

    Those over the limit count with the limit.
    """
    both = [row for row in rows if "seconds" in row.ours and counted(row.peer) is not None]
    finished = [row for row in both if "seconds" in row.peer]
    if finished:
        yield sum_cells(f"sum: {len(finished)} that RCAEval finished", finished, "seconds")
    if len(finished) < len(both):
        yield sum_cells(f"sum: {len(both)} that RCAEval began", both, "over")


def sum_cells(label, rows, kind):
    """The sums over these rows; ``kind`` says whether RCAEval's is exact or a lower bound."""
    ours = {"seconds": sum(row.ours["seconds"] for row in rows)}
    theirs = {kind: sum(counted(row.peer) for row in rows)}
    return (label, result_text(ours), "", result_text(theirs), ratio(ours, theirs), "", "", "")


def counted(result):
    """Seconds, at least; None where there is no figure."""
    return result.get("seconds", result.get("over"))


def result_text(result):
    """Seconds; "> N" over the limit; "refused", "crashed"; "-" where there is no such thing."""
    if "seconds" in result:
        return figure(result["seconds"])
    if "over" in result:
        return f"> {figure(result['over'])}"
    return outcome(result) if "error" in result else "-"


def outcome(result):
    """Whether a method says that it cannot answer, or crashes."""
    return "refused" if result["error"].startswith("MethodFailed") else "crashed"


def figure(seconds):
    """Fewer decimals the larger it is."""
    decimals = 5 if seconds < 0.01 else 3 if seconds < 1 else 1 if seconds < 100 else 0
    return f"{seconds:.{decimals}f}"


def ratio(ours, theirs):
    """How many times as long the other takes; "> N" where it was stopped."""
    if "seconds" not in ours or counted(theirs) is None:
        return ""
    times = counted(theirs) / max(ours["seconds"], 1e-9)
    text = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
    return f"> {text}" if "over" in theirs else text


def errors(rows):
    """One line per refusal or crash."""
    for row in rows:
        for whose, result in (
            ("ours", row.ours), ("RCAEval", row.peer), (row.library, row.library_result),
        ):  # fmt: skip
            if "error" in result:
                yield f"{row.method}: {whose} {outcome(result)}: {result['error'][:140]}"


def steps_line(ours, theirs, steps, detector):
    """CausalRCA per optimiser step."""
    texts = [
        f"{1000 * result['seconds'] / steps:.2f} ms"
        if "seconds" in result
        else result.get("error", result_text(result))
        for result in (ours, theirs)
    ]
    how = "as shipped" if detector == "on" else "its anomaly detector off"
    factor = f", ratio {ratio(ours, theirs)}" if ratio(ours, theirs) else ""
    return f"causalrca per optimiser step: {texts[0]}; RCAEval ({how}) {texts[1]}{factor}"


def machine(peer_python):
    """Cores, processor and versions, in two lines."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if has(name)]
    lines = [f"{os.cpu_count()} cores, {processor()}; {', '.join(versions)}"]
    if peer_python:
        lines.append(f"RCAEval: {peer_versions(peer_python)}")
    return "\n".join(lines)


def has(package):
    """Whether it is installed."""
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def processor():
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peer_versions(python):
    """Versions in RCAEval's environment."""
    code = (
        "import platform, sys; from importlib.metadata import version;"
        "names = [f'{name} {version(name)}' for name in sys.argv[1:]];"
        "print(f'Python {platform.python_version()}', *names, sep=', ')"
    )
    done = subprocess.run([python, "-c", code, *PEER_PACKAGES], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()[-200:]
