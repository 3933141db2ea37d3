import math

import pytest

from rca_benchmark.report.markup import between, element, quantity, share, table, to_html, told


def test_text_and_attributes_are_escaped():
    node = element("p", "<script> & ", element("b", "x"), " > y", title='"><i>')
    text = to_html(node)
    assert "&lt;script&gt; &amp; <b>x</b> &gt; y" in text
    assert "<i>" not in text


def test_attributes_are_written_as_svg_wants_them():
    node = element("text", text_anchor="end", class_="tick", x=1.5, y=2.0, id=None)
    assert node.attrib == {"text-anchor": "end", "class": "tick", "x": "1.5", "y": "2"}


def test_a_table_heads_its_rows_and_columns():
    node = table(["a", "b"], [["1", element("td", "2", class_="x")]], "words")
    assert [cell.get("scope") for cell in node.iter("th")] == ["col", "col", "row"]
    assert [cell.get("class") for cell in node.iter("td")] == ["x"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00012345, "0.000123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (3.2e9, "3.20e+09"),
        (math.nan, "none"),
    ],
)
def test_numbers_are_short(value, text):
    assert quantity(value) == text


def test_scores_have_two_decimals():
    assert share(0.456) == "0.46"
    assert share(0.456, sign=True) == "+0.46"
    assert share(math.nan) == "none"
    assert (between(3, 3), between(3, 5)) == ("3", "3 to 5")


def test_what_is_not_known_is_said():
    assert [told(value) for value in (True, False, None)] == ["yes", "no", "unknown"]
