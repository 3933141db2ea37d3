"""Append the beginning of a phase to the timeline of a run: [{"name", "start"}], start in UTC.

Usage: timeline.py RUN_DIR NAME EPOCH_S

RUN_DIR/timeline.json grows over all executions of the run. What stands there already is not added
again; and nothing is written as long as the run has no manifest, as nothing has begun then.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path


def append(run_dir: Path, name: str, epoch_s: float) -> None:
    """Add a phase to a run that has begun.

    Raises:
        OSError, ValueError: the timeline cannot be written, or what is there is none.
    """
    file = run_dir / "timeline.json"
    if not (run_dir / "manifest.json").exists():
        return
    timeline = json.loads(file.read_text()) if file.exists() else []
    start = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    phase = {"name": name, "start": start.replace("+00:00", "Z")}
    if phase in timeline:
        return
    partial = run_dir / f".timeline.json.{os.getpid()}"
    partial.write_text(json.dumps([*timeline, phase], indent=2) + "\n")
    partial.rename(file)


def main() -> None:
    """Append, or say in one line why not."""
    folder, name, epoch_s = sys.argv[1:]
    try:
        append(Path(folder), name, float(epoch_s))
    except (OSError, ValueError) as error:
        sys.exit(f"{folder}/timeline.json: {error}")


if __name__ == "__main__":
    main()
