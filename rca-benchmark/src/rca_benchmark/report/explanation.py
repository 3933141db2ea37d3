"""Why a method suspects whom: its ranking of one case with the evidence, as text and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.table import Table

from rca_benchmark.case import service_of
from rca_benchmark.methods import get_method
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time
from rca_benchmark.report.cases import panels
from rca_benchmark.report.markup import Element, element, figure, quantity, table, to_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Evidence, Ranking

TOP: Final = 5
LINES: Final = 6
PANELS: Final = 8


@dataclass(frozen=True, eq=False)
class Explanation:
    """A method's answer to one observation.

    Attributes:
        method: its name.
        observation: what it was given, prepared.
        ranking: what it answered.
    """

    method: str
    observation: Observation
    ranking: Ranking

    def evidence_for(self, service: str) -> list[Evidence]:
        """What speaks against a service, strongest first."""
        return [item for item in self.ranking.evidence if item.service == service]

    def fault_of(self, service: str) -> str:
        """The fault that the strongest evidence suggests; empty where none does."""
        return next((item.fault for item in self.evidence_for(service) if item.fault), "")

    def lines_for(self, service: str) -> list[str]:
        """One line per piece of evidence; of a method that gives none, its first indicators."""
        if self.ranking.evidence:
            found = self.evidence_for(service)
            return [f"{item.weight:.2f} {item.text}" for item in found[:LINES]]
        own = [name for name in self.ranking.indicators if service_of(name) == service]
        return [self._movement(name) for name in own[:LINES]]

    def _movement(self, name: str) -> str:
        metrics = self.observation.metrics
        after = metrics["time"] >= (self.observation.inject_time_ns or 0)
        before, later = metrics.loc[~after, name].mean(), metrics.loc[after, name].mean()
        return f"{name}: mean {quantity(before)} -> {quantity(later)}"


def explain(observation: Observation, name: str) -> Explanation:
    """Run a method on an observation, prepared as ``evaluate`` prepares it by default.

    Raises:
        BenchError: there is no such method, or it cannot answer.
    """
    method = get_method(name)
    prepared = prepare(observation, Preparation()).observation
    seen = prepared if method.uses_inject_time else without_inject_time(prepared)
    return Explanation(method.name, prepared, method.function(seen, np.random.default_rng(0)))


def explanation_table(explanation: Explanation) -> Table:
    """The first suspects with their evidence, for a terminal."""
    found = Table(title=f"{explanation.method}: the first suspects and why", show_lines=True)
    found.add_column("", justify="right")
    found.add_column("service", no_wrap=True)
    found.add_column("probable fault")
    found.add_column("evidence (strength, 0 to 1)")
    for place, service in enumerate(explanation.ranking.services[:TOP], start=1):
        lines = "\n".join(explanation.lines_for(service)) or "none"
        found.add_row(str(place), service, explanation.fault_of(service) or "unknown", lines)
    return found


def explanation_page(explanation: Explanation) -> str:
    """The same as a page that needs no other file, with pictures of the indicators behind it."""
    title = f"Root cause analysis by {explanation.method}"
    main = element("main", element("h1", title))
    rows: list[list[Element | str]] = [
        [
            str(place),
            service,
            explanation.fault_of(service) or "unknown",
            element("td", *_broken(explanation.lines_for(service) or ["none"])),
        ]
        for place, service in enumerate(explanation.ranking.services[:TOP], start=1)
    ]
    header = ["rank", "service", "probable fault", "evidence (strength, 0 to 1)"]
    main.append(table(header, rows, "words suspects"))
    main.append(_pictures(explanation))
    style = files("rca_benchmark.report").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", style),
    )
    return to_html(element("html", head, element("body", main), lang="en"))


def _broken(lines: Sequence[str]) -> list[Element | str]:
    """Lines with a break between them."""
    found: list[Element | str] = [lines[0]]
    for line in lines[1:]:
        found += [element("br"), line]
    return found


def _pictures(explanation: Explanation) -> Element:
    """The indicators of the evidence, strongest first; else the first of the ranking."""
    shown = [item.indicator for item in explanation.ranking.evidence if item.indicator]
    metrics = explanation.observation.metrics
    ranked = dict.fromkeys([*shown, *explanation.ranking.indicators])
    names = [name for name in ranked if metrics[name].notna().any()][:PANELS]
    first = explanation.ranking.services[0]
    times = metrics["time"]
    start = explanation.observation.inject_time_ns or int(times.iloc[0])
    title = f"the indicators that {explanation.method} relies on most"
    picture = panels(metrics, names, (start, int(times.iloc[-1])), title, first)
    caption = (
        "The indicators of the strongest evidence. The line marks the inject time (0 s); "
        f"indicators of the first suspect, {first}, are blue and bold."
    )
    return figure(picture, caption)
