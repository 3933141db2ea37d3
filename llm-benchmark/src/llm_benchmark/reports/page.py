"""Pages that need nothing but themselves: style inside, charts as SVG, no script, no network."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from llm_benchmark.files import replace
from llm_benchmark.reports.charts import draw, legend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llm_benchmark.reports.charts import Chart


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page.

    Args:
        path: The file to write.
        title: Its title, plain text.
        parts: Its body as HTML.

    Raises:
        OSError: The file cannot be written.
    """
    css = files("llm_benchmark.reports").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(parts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
    with replace(path) as partial:
        partial.write_text(page, encoding="utf-8")


def figure(chart: Chart, caption: str = "") -> str:
    """Return a chart with heading, legend and caption as HTML."""
    keys = "".join(
        f'<span class="key {color}">{escape(name)}</span>'
        for color, name in legend(chart)
        if len(chart.lines) > 1
    )
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f"<h2>{escape(chart.title)}</h2><figure>{keys}<div class='scroll'>{draw(chart)}</div>{told}"
        "</figure>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table of plain texts as HTML; ``kind`` is its class."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f"<div class='scroll'><table class='{kind}'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
