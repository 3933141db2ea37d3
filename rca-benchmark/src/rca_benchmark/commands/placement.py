"""The command ``placement``: where each service of a stack on Kubernetes runs, right now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "placement",
        _placement,
        "write where each service on Kubernetes runs: address, pod, node, GPUs",
        "--namespace ray --prometheus k8s://observability/prometheus-operated:9090 \\\n"
        "    --out placement.json",
    )
    add = command.add_argument
    add("--namespace", default="ray", help="where the stack runs (default: ray)")
    add(
        "--prometheus",
        metavar="URL",
        help="knows which GPUs a pod holds; without it none are named",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="file to write")


def _placement(args: argparse.Namespace) -> int:
    from rca_benchmark.export.cluster import take_placement
    from rca_benchmark.export.endpoint import resolve
    from rca_benchmark.export.placement import read_placement

    server = resolve("prometheus", args.prometheus) if args.prometheus else None
    places = take_placement(args.namespace, server)
    partial = args.out.with_name(f".{args.out.name}.partial")
    partial.write_text(json.dumps(places, indent=2) + "\n", encoding="utf-8")
    try:
        read_placement(partial)
        partial.rename(args.out)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{args.out}: {len(places)} services")
    return 0
