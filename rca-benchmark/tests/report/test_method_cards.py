"""Docstrings become cards, and the document holds those of all methods."""

import sys
from pathlib import Path

import pytest

from rca_benchmark.cli import main
from rca_benchmark.errors import BenchError
from rca_benchmark.methods import all_methods
from rca_benchmark.report.method_cards import card_markdown, card_of, read_card

DOCUMENT = Path(__file__).parents[2] / "docs" / "methods.md"
BASELINES = {"alert_count", "constant", "max_z", "random", "simple_rca"}
METHODS = pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.name)
DOCSTRING = """Score = a * b.

    As in section 3 of the paper:

        x_t = a * x_{t-1}

    * one way

    Parameters:
        ALPHA: 0.05; level of
            the tests (paper: 0.05)

    Cost:
        O(N T), that is,
        little.

    Decisions:
        * The *first* of | two,
          not ``a * b``.
        * Another.

    Earlier implementations:
        * the study's code, RCAEval 1.8.1: turned round; effects come first.

    Raises:
        MethodFailed: there is no edge.
    """


def test_the_parts_are_found():
    card = read_card(DOCSTRING)
    assert card.summary == "Score = a * b."
    assert card.text.startswith("As in section 3")
    assert "\n    x_t = a * x_{t-1}\n" in card.text
    assert card.parameters == (("`ALPHA`", "0.05", "level of the tests (paper: 0.05)"),)
    assert card.cost == "O(N T), that is, little."
    assert card.decisions == ("The *first* of | two, not ``a * b``.", "Another.")
    assert card.earlier == (
        ("The study's code, RCAEval 1.8.1", "turned round; effects come first."),
    )
    assert card.refusals == "there is no edge."


@pytest.mark.parametrize(
    ("docstring", "message"),
    [
        (None, "first line"),
        ("Score over two\nlines.", "first line"),
        ("No full stop", "first line"),
        ("One.\n\n    Notes:\n        Any.\n", "unknown section Notes"),
        ("One.\n\n    Cost:\n        O(N).\n\n    Parameters:\n        A: 1; b.\n", "out of order"),
        ("One.\n\n    Cost:\n        O(N).\n\n    Cost:\n        O(T).\n", "twice"),
        ("One.\n\n    Cost:\n", "Cost is empty"),
        ("One.\n\n    Cost:\n    O(N).\n", "not indented: O"),
        ("One.\n\n    Parameters:\n        ALPHA is 0.05\n", "name: value; meaning"),
        ("One.\n\n    Decisions:\n        No asterisk.\n", "asterisk"),
        ("One.\n\n    Earlier implementations:\n        * Nobody.\n", "NAME: what"),
    ],
)
def test_what_is_no_card_is_refused(docstring, message):
    with pytest.raises(BenchError, match=message):
        read_card(docstring)


@pytest.fixture
def described(monkeypatch):
    """A method whose docstring is the one above."""
    method = all_methods()[0]
    monkeypatch.setattr(method.function, "__doc__", DOCSTRING)
    return method


def test_nothing_turns_into_markup_by_chance(described):
    text = card_markdown(described)
    assert r"Score = a \* b." in text
    assert "\n    x_t = a * x_{t-1}\n" in text
    assert "\n* one way\n" in text
    assert r"- The \*first\* of | two, not ``a * b``." in text
    assert "| `ALPHA` | 0.05 | level of the tests (paper: 0.05) |" in text


@METHODS
def test_every_method_has_a_whole_card(method):
    card = card_of(method)
    assert card.refusals
    if method.name not in BASELINES:
        assert card.cost
        assert card.decisions


def modules_behind(method):
    """The module of a method, and the project's modules from which it has anything."""
    found, waiting = {}, [method.function.__module__]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith("rca_benchmark."):
            continue
        found[name] = vars(sys.modules[name])
        waiting += [getattr(value, "__module__", None) or "" for value in found[name].values()]
    return found.values()


def number(text):
    """The number that a text is; None where it is none."""
    try:
        return float(text.replace(",", "").replace(" ", ""))
    except ValueError:
        return None


@METHODS
def test_parameters_have_the_values_that_the_code_has(method):
    for quoted, value, _ in card_of(method).parameters:
        name = quoted.strip("`").upper()
        constants = [module[name] for module in modules_behind(method) if name in module]
        if constants and number(value) is not None:
            assert number(value) in constants, f"{name} is {value} in the docstring, {constants}"


def test_the_document_is_up_to_date(capsys):
    assert main(["methods", "--markdown"]) == 0
    text, _ = capsys.readouterr()
    assert text == DOCUMENT.read_text(encoding="utf-8"), (
        "write it anew: rca-benchmark methods --markdown > rca-benchmark/docs/methods.md"
    )
    assert all(f"\n### {method.name}\n" in text for method in all_methods())


def test_one_method_can_be_asked_for(capsys):
    assert main(["methods", "baro"]) == 0
    text, _ = capsys.readouterr()
    assert "BARO" in text
    assert "nsigma" not in text
