import re
from html.parser import HTMLParser

import pytest

from rca_benchmark.case import Case
from rca_benchmark.report.leaderboard import build_leaderboard
from rca_benchmark.report.page import SECTIONS, build_page

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Checker(HTMLParser):
    """Fails on an element that is not closed in order; collects ids, links and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page_of():
    return lambda results, find=None: build_page(results, build_leaderboard(results), find)


@pytest.fixture
def section(page_of, sweep_results):
    """The HTML of one section."""
    text = page_of(sweep_results)

    def cut(name):
        start = text.index(f'id="demo-{name}"')
        return text[start : text.index("</section>", start)]

    return cut


def test_the_page_is_well_formed_and_has_every_section(page_of, sweep_results):
    page = Checker(page_of(sweep_results))
    assert [f"demo-{name}" for name in SECTIONS] == [
        name for name in page.ids if name.removeprefix("demo-") in SECTIONS
    ]
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_nothing_is_loaded_from_elsewhere(page_of, sweep_results):
    text = page_of(sweep_results)
    page = Checker(text)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"https?:|//|url\(|@import", text)


def test_every_data_set_has_its_sections(page_of, results_of, row):
    page = Checker(page_of(results_of(row(1), row(1, dataset="other set"))))
    assert "demo-leaderboard" in page.ids
    assert "other-set-leaderboard" in page.ids


def test_names_are_escaped(page_of, results_of, row):
    text = page_of(results_of(row(1, dataset="<b>&", case="<i>", fault="<u>", method="<s>")))
    assert not re.search(r"<(b|i|u|s)>", text.split("</style>")[1])


@pytest.mark.parametrize("name", ["leaderboard", "faults", "pairs", "costs"])
def test_captions_state_cases_and_chance(section, name):
    assert "6 cases per method, chance Avg@5 0.60" in section(name)


@pytest.mark.parametrize("name", ["leaderboard", "faults", "pairs", "costs", "sweeps", "failures"])
def test_every_table_says_who_is_told_the_inject_time(section, name):
    for table in re.findall(r"<table.*?</table>", section(name), re.DOTALL):
        assert "told the inject time" in table


@pytest.mark.parametrize(
    ("name", "pictures"), [("leaderboard", 2), ("costs", 2), ("sweeps", 2), ("failures", 0)]
)
def test_sections_have_their_pictures(section, name, pictures):
    assert section(name).count("<svg") == pictures


def test_faults_and_targets_are_the_columns_of_the_heat_maps(section):
    text = section("faults")
    for name in ("cpu (3)", "network-delay (3)", "a (3)", "b (3)", "all (6)"):
        assert f">{name}</th>" in text


def test_pairs_are_compared_on_their_cases(section):
    text = section("pairs")
    assert "over 3 pairs" in text
    assert "baro less nsigma: " in text
    assert text.count("6 cases; right at AC@1 alone") == 6


def test_sweeps_show_each_value(section):
    text = section("sweeps")
    assert "detection delay (s)" in text
    # baro is always first, and second with a delay of 30 s: Avg@5 of 1 and of .8.
    assert '<th scope="row">baro</th><td>yes</td><td>1.00</td><td>0.80</td>' in text
    assert re.search(r">60</text>.*>all</text>", text, re.DOTALL)


def test_without_a_sweep_that_is_said(page_of, results_of, row):
    assert "nothing was swept" in page_of(results_of(row(1)))


def test_failures_are_counted_with_their_reason(section):
    text = section("failures")
    assert "Failures: 3; answers: 54, cases: 6." in text
    assert "<td>timeout</td><td>3 of 18</td><td>stopped after 2 s &lt;&amp;&gt;</td>" in text


def test_without_failures_that_is_said(page_of, results_of, row):
    assert "Failures: none; answers: 1, cases: 1." in page_of(results_of(row(1)))


def test_unreadable_cases_are_listed(page_of, results_of, row):
    bad = {"dataset": "demo", "case": "x", "method": "baro", "status": "error", "reason": "row 7"}
    text = page_of(results_of(row(1), bad))
    assert "These could not be read and count for no method: 1." in text
    assert "demo, x: row 7" in text


def test_without_the_data_sets_that_is_said(page_of, sweep_results):
    text = page_of(sweep_results)
    assert "pictures of the indicators are left out" in text
    assert text.count("<details") == 6


def test_cases_of_the_data_sets_given_have_pictures(
    page_of, results_of, row, make_observation, truth
):
    cases = {("demo", "c"): Case("demo", "c", "00", make_observation(), truth)}
    results = results_of(row(1), row(1, case="gone"))
    text = page_of(results, lambda dataset, name: cases.get((dataset, name)))
    Checker(text)
    assert text.count('class="chart moved"') == 1
    assert "Without a picture, for not in the data sets given: 1." in text
    assert "left out" not in text
