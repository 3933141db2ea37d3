"""Method cards: what the docstrings and declarations of the methods say, as Markdown."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rca_benchmark.errors import BenchError
from rca_benchmark.report.markup import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rca_benchmark.methods import Method

PARAMETERS: Final = "Parameters"
COST: Final = "Cost"
DECISIONS: Final = "Decisions"
EARLIER: Final = "Earlier implementations"
RAISES: Final = "Raises"
SECTIONS: Final = (PARAMETERS, COST, DECISIONS, EARLIER, RAISES)
_HEADER: Final = re.compile(r"([A-Z][A-Za-z ]*):")
_BULLET: Final = "* "
_LIST_ITEM: Final = re.compile(r"(?P<marker>(?:\s*\* )?)(?P<rest>.*)")
_CODE: Final = re.compile(r"(``.*?``|`.*?`)")
_SPECIAL: Final = re.compile(r"[*<\\]|(?<!\w)_|_(?!\w)")
_OVERVIEW: Final = (
    *("method", "reads", "told inject time", "starts from SLI", "chance", "cost", "at most"),
    "paper",
)
_COSTS: Final = {"ms": "milliseconds", "seconds": "seconds", "minutes": "minutes"}
_HOW_TO_READ: Final = """\
- Told inject time: the method is told when the fault began, so it knows more than one that is not;
  compare the two with care. The others find null in its place.
- Starts from SLI: it cannot answer where a data set names no SLI.
- Chance: the answer depends on the seed.
- Cost: rough time for a case of 50 indicators and 600 rows.
- At most: how many indicators it takes; it refuses more.

A method that cannot answer is recorded as failed, with its reason, and counts as wrong. None
answers at random or in the order of the columns instead."""
_ABOUT_EARLIER: Final = """\
"The study's code" is what the published study of LLM serving stacks ran; "RCAEval 0.1" and "RCAEval
1.8.1" are releases of the suite from which it descends."""


@dataclass(frozen=True)
class Card:
    """The parts of a method's docstring.

    Attributes:
        summary: the first line.
        text: the paragraphs before the first section.
        parameters: name, value, meaning.
        cost: one paragraph; empty where there is none.
        decisions: one per point.
        earlier: whose implementation, and what it does differently.
        refusals: when it cannot answer; empty where it does not say.
    """

    summary: str
    text: str
    parameters: tuple[tuple[str, str, str], ...]
    cost: str
    decisions: tuple[str, ...]
    earlier: tuple[tuple[str, str], ...]
    refusals: str


def read_card(docstring: str | None) -> Card:
    """Take a docstring apart.

    Raises:
        BenchError: it has no first line of its own; a section is unknown, empty, out of order or
            occurs twice; an entry is not of the form that its section asks for.
    """
    lines = inspect.cleandoc(docstring or "").splitlines()
    if not lines or not lines[0].endswith(".") or any(lines[1:2]):
        raise BenchError("the first line must be one sentence, followed by a blank line")
    headers = [place for place, line in enumerate(lines) if _HEADER.fullmatch(line)]
    names = [lines[place][:-1] for place in headers]
    if unknown := [name for name in names if name not in SECTIONS]:
        raise BenchError(f"unknown section {unknown[0]}; known are {', '.join(SECTIONS)}")
    if names != [name for name in SECTIONS if name in names]:
        raise BenchError(f"sections out of order or twice: {', '.join(names)}")
    ends = [*headers[1:], len(lines)]
    sections = {
        name: _body(name, lines[start + 1 : end])
        for name, start, end in zip(names, headers, ends, strict=True)
    }
    return Card(
        summary=lines[0],
        text="\n".join(lines[1 : min(headers, default=len(lines))]).strip(),
        parameters=tuple(map(_parameter, _entries(sections.get(PARAMETERS, [])))),
        cost=" ".join(map(str.strip, sections.get(COST, []))),
        decisions=tuple(map(_point, _entries(sections.get(DECISIONS, [])))),
        earlier=tuple(map(_difference, _entries(sections.get(EARLIER, [])))),
        refusals=" ".join(map(_refusal, _entries(sections.get(RAISES, [])))),
    )


def card_of(method: Method) -> Card:
    """The card of a method.

    Raises:
        BenchError: its docstring is none.
    """
    try:
        return read_card(method.function.__doc__)
    except BenchError as error:
        raise BenchError(f"docstring of method {method.name}: {error}") from error


def card_markdown(method: Method) -> str:
    """The card of one method, its heading of the third level."""
    card = card_of(method)
    parts = [f"### {method.name}", _escape(card.summary), _facts(method)]
    if card.text:
        parts.append(_paragraphs(card.text))
    if card.parameters:
        parts.append(_table(("parameter", "value", "meaning"), card.parameters))
    if card.cost:
        parts.append(f"**Cost.** {_escape(card.cost)}")
    if card.decisions:
        parts += ["**Decisions.**", _list(card.decisions)]
    if card.earlier:
        parts += ["**Earlier implementations.**", _list(map(": ".join, card.earlier))]
    if card.refusals:
        parts.append(f"**No answer** when: {_escape(card.refusals)}")
    return "\n\n".join(parts) + "\n"


def methods_markdown(methods: Iterable[Method], policy: str) -> str:
    """The document of all methods.

    Args:
        methods: in the order in which they appear.
        policy: what is done about data that carry no test, in Markdown.
    """
    methods = list(methods)
    overview = [(f"[`{method.name}`](#{method.name})", *_declared(method)) for method in methods]
    differences = [
        (f"[`{method.name}`](#{method.name})", whose, what)
        for method in methods
        for whose, what in card_of(method).earlier
    ]
    parts = [
        "# Methods",
        "Written by `rca-benchmark methods --markdown` from the methods' declarations and "
        "docstrings; do not edit.",
        _table(_OVERVIEW, overview),
        _HOW_TO_READ,
        "## Data that carry no test",
        policy.strip(),
        "## Where earlier implementations differ from the papers, and what that does",
        _ABOUT_EARLIER,
        _table(("method", "implementation", "difference"), differences),
        "## Cards",
    ]
    return "\n\n".join(parts) + "\n\n" + "\n".join(map(card_markdown, methods))


def _body(name: str, lines: Sequence[str]) -> list[str]:
    body = [line for line in lines if line.strip()]
    if not body:
        raise BenchError(f"section {name} is empty")
    if loose := [line for line in body if not line.startswith("    ")]:
        raise BenchError(f"section {name}: not indented: {loose[0]}")
    return [line[4:] for line in body]


def _entries(lines: Iterable[str]) -> list[str]:
    """Each line with those that continue it, which are indented further."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    return entries


def _parameter(entry: str) -> tuple[str, str, str]:
    name, colon, rest = entry.partition(": ")
    if not colon or " " in name:
        raise BenchError(f"a parameter must be `name: value; meaning`: {entry}")
    value, _, meaning = rest.partition("; ")
    return f"`{name}`", value.removesuffix("."), meaning.removesuffix(".")


def _point(entry: str) -> str:
    if not entry.startswith(_BULLET):
        raise BenchError(f"a point must begin with an asterisk: {entry}")
    return entry.removeprefix(_BULLET)


def _difference(entry: str) -> tuple[str, str]:
    whose, colon, what = _point(entry).partition(": ")
    if not colon:
        raise BenchError(f"a difference must be `* NAME: what; effect`: {entry}")
    return whose[0].upper() + whose[1:], what


def _refusal(entry: str) -> str:
    return entry.removeprefix("MethodFailed: ")


def _facts(method: Method) -> str:
    facts = [
        f"reads {' and '.join(sorted(method.sources)) or NONE}",
        f"{'is' if method.uses_inject_time else 'is not'} told the inject time",
        "starts from the SLI" if method.uses_sli else "",
        "depends on the seed" if method.stochastic else "",
        f"takes {_COSTS[method.cost]}",
        f"takes at most {method.most_indicators} indicators" if method.most_indicators else "",
    ]
    return f"{_escape(method.paper)}. It {', '.join(filter(None, facts))}."


def _declared(method: Method) -> tuple[str, ...]:
    flags = (method.uses_inject_time, method.uses_sli, method.stochastic)
    return (
        ", ".join(sorted(method.sources)) or NONE,
        *("yes" if flag else "no" for flag in flags),
        method.cost,
        "" if method.most_indicators is None else str(method.most_indicators),
        method.paper,
    )


def _list(points: Iterable[str]) -> str:
    return "\n".join(f"- {_escape(point)}" for point in points)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = ([_escape(cell).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _paragraphs(text: str) -> str:
    """Formulas, which are indented, stay as they are; so does the asterisk of a list."""
    lines = text.splitlines()
    return "\n".join(
        line if line.startswith("    ") else _LIST_ITEM.sub(_escaped_item, line) for line in lines
    )


def _escaped_item(line: re.Match[str]) -> str:
    return line["marker"] + _escape(line["rest"])


def _escape(text: str) -> str:
    """Mask what Markdown would take for itself, except in code."""
    parts = _CODE.split(text)
    return "".join(
        part if place % 2 else _SPECIAL.sub(r"\\\g<0>", part) for place, part in enumerate(parts)
    )
