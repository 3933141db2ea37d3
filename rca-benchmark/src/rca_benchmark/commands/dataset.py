"""The command ``dataset``: look at data sets, check, convert and pack them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command, positive, progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "list, describe, convert, validate, index, pack or unpack a data set"
    command = add_command(commands, "dataset", lambda _args: 2, text, "validate cases")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(
        name: str,
        run: Callable[[argparse.Namespace], int],
        text: str,
        example: str,
        metavar: str = "DATASET",
    ) -> argparse.ArgumentParser:
        action = add_command(actions, name, run, text, example, "dataset ")
        action.add_argument("source", type=Path, metavar=metavar, help=_HELP[metavar])
        return action

    add("list", _list, "print the name of every case", "cases")
    add("describe", _describe, "say what a data set holds", "cases")
    add("validate", _validate, "check files, hashes, times and ground truth", "cases")
    action = add("index", _index, "write dataset.json and index.parquet", "cases")
    text = "take rejected cases too (reasons: case.json, quality)"
    action.add_argument("--with-rejected", action="store_true", help=text)
    _add_facts(action)
    example = "RE2-OB --to native --licence MIT --out re2-ob"
    action = add("convert", _convert, "write a data set in another layout", example)
    action.add_argument("--to", choices=("native", "rcaeval"), required=True, help="the new layout")
    action.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    _add_facts(action)
    action = add("pack", _pack, "write a data set as one tarball", "cases --out cases.tar.gz")
    action.add_argument("--out", type=Path, required=True, help="file to write; must not exist")
    text = "put this file beside the manifest, e.g. a leaderboard (may be repeated)"
    action.add_argument(
        "--attach", type=Path, action="append", default=[], metavar="FILE", help=text
    )
    example = "cases.tar.gz --out cases"
    action = add("unpack", _unpack, "unpack and check a tarball", example, "FILE")
    action.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    text = "largest size once decompressed, in GiB (default: 16)"
    action.add_argument("--limit-gb", type=positive, default=16, help=text)


_HELP = {"DATASET": "a folder of cases, in any layout", "FILE": "a tarball that pack wrote"}


def _add_facts(action: argparse.ArgumentParser) -> None:
    action.add_argument("--name", help="name of the data set (default: that of its folder)")
    action.add_argument("--version", default="1", help="its version (default: 1)")
    text = "its licence, as an SPDX expression (default: unknown)"
    action.add_argument("--licence", default="unknown", help=text)


def _list(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.describe import list_cases

    print("\n".join(list_cases(args.source)))
    return 0


def _describe(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.describe import describe

    print("\n".join(describe(args.source)))
    return 0


def _validate(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.describe import validate

    problems = validate(args.source)
    for problem in problems:
        print(f"rca-benchmark dataset validate: {problem}", file=sys.stderr)
    if not problems:
        print(f"{args.source}: every case is whole")
    return 1 if problems else 0


def _index(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.index import INDEX, MANIFEST, write_index

    name = args.name or args.source.resolve().name
    write_index(
        args.source,
        name=name,
        version=args.version,
        licence=args.licence,
        with_rejected=args.with_rejected,
    )
    print(f"{args.source}: wrote {MANIFEST} and {INDEX}")
    return 0


def _convert(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset import find_cases
    from rca_benchmark.dataset.convert import convert

    with progress(len(find_cases(args.source))) as done:
        count = convert(
            args.source,
            args.to,
            args.out,
            name=args.name or args.out.resolve().name,
            version=args.version,
            licence=args.licence,
            done=done,
        )
    print(f"{args.out}: {count} cases")
    return 0


def _pack(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.archive import pack

    print(f"{pack(args.source, args.out, args.attach)}  {args.out}")
    return 0


def _unpack(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.archive import unpack

    count = unpack(args.source, args.out, limit_bytes=args.limit_gb * 2**30)
    print(f"{args.out}: {count} files, every hash is right")
    return 0
