"""Elements of a page, escaped and well formed by construction, and how numbers are written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Element = ElementTree.Element
NONE: Final = "none"


def element(tag: str, *children: Element | str, **attributes: object) -> Element:
    """An element of HTML or SVG.

    Args:
        tag: its name.
        children: elements and text, in order; text is escaped when the page is written.
        attributes: ``_`` in a name stands for ``-``; a last ``_`` is dropped (``class_``). An
            attribute that is None is left out. A float is rounded to two decimals.
    """
    node = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            key = name if name == "viewBox" else name.rstrip("_").replace("_", "-")
            node.set(key, str(text))
    add(node, children)
    return node


def add(node: Element, children: Iterable[Element | str]) -> None:
    """Append elements and text to an element."""
    for child in children:
        if not isinstance(child, str):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + child
        else:
            node.text = (node.text or "") + child


def table(
    header: Sequence[Element | str], rows: Iterable[Sequence[Element | str]], class_: str
) -> Element:
    """A table that scrolls sideways where the page is narrow.

    Args:
        header: one cell per column.
        rows: cells; the first one heads its row. A cell that is a ``td`` is taken as it is.
        class_: CSS classes.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = element("tbody")
    for first, *rest in rows:
        cells = (_cell(cell) for cell in rest)
        body.append(element("tr", element("th", first, scope="row"), *cells))
    whole = element("table", element("thead", head), body, class_=class_)
    return element("div", whole, class_="scroll")


def figure(picture: Element, caption: str) -> Element:
    """A picture or table with its caption."""
    return element("figure", picture, element("figcaption", caption))


def share(value: float, *, sign: bool = False) -> str:
    """A score in [-1, 1] with two decimals."""
    return NONE if math.isnan(value) else f"{value:{'+' if sign else ''}.2f}"


def quantity(value: float) -> str:
    """A number with three significant digits and no exponent where it can be read without."""
    if math.isnan(value):
        return NONE
    if value == 0 or 1e-4 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"


def between(low: int, high: int) -> str:
    """A range of counts, one number where both ends are the same."""
    return str(low) if low == high else f"{low} to {high}"


def told(value: object) -> str:
    """Whether a method is told the inject time, for people."""
    return "yes" if value is True else "no" if value is False else "unknown"


def to_html(root: Element) -> str:
    """The whole page as text."""
    return "<!DOCTYPE html>\n" + ElementTree.tostring(root, encoding="unicode", method="html")


def _cell(cell: Element | str) -> Element:
    if not isinstance(cell, str) and cell.tag == "td":
        return cell
    return element("td", cell)
