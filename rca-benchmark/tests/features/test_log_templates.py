import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, typed_table
from rca_benchmark.features.log_templates import mask, template_counts
from rca_benchmark.preprocess import Preparation, prepare

SECOND = 1_000_000_000


def lines(observation, *rows):
    """Rows of (second, service, level, message) as a table of logs."""
    start = int(observation.metrics["time"].iloc[0])
    return typed_table(
        [(start + second * SECOND, service, level, text, "f")
         for second, service, level, text in rows],
        LOG_COLUMNS,
    )  # fmt: skip


def counts(make_observation, *rows):
    observation = make_observation()
    return template_counts(make_observation(logs=lines(observation, *rows)))


def test_lines_that_differ_in_values_are_one_template(make_observation):
    table = counts(
        make_observation,
        (1, "ray-head", "INFO", "request 17 took 3 ms"),
        (2, "ray-head", "INFO", "request 18 took 250 ms"),
        (45, "ray-head", "INFO", "request 19 took 9 ms"),
    )
    (row,) = table.itertuples(index=False)
    assert (row.template, row.before, row.after) == ("request <*> took <*> ms", 2, 1)


def test_words_that_vary_become_parameters(make_observation):
    texts = [f"user {name} logged in from the office" for name in ("ann", "bob", "cid")]
    table = counts(make_observation, *((1, "ray-head", "INFO", text) for text in texts))
    assert table["template"].tolist() == ["user <*> logged in from the office"]


def test_a_new_template_is_told_from_a_vanished_one(make_observation):
    table = counts(
        make_observation,
        (1, "ray-head", "INFO", "all is well here"),
        (45, "ray-head", "ERROR", "lost the connection"),
    )
    found = table.set_index("template")[["before", "after", "severe"]]
    assert found.loc["all is well here"].tolist() == [1, 0, False]
    assert found.loc["lost the connection"].tolist() == [0, 1, True]
    start = int(make_observation().metrics["time"].iloc[0])
    assert table["first_after"].tolist() == [0, start + 45 * SECOND]


def test_a_word_makes_a_template_severe_whatever_its_level(make_observation):
    table = counts(make_observation, (1, "ray-head", "INFO", "Exception in thread main"))
    assert table["severe"].tolist() == [True]


def test_the_same_words_of_two_services_are_counted_apart(make_observation):
    table = counts(
        make_observation, (1, "ray-head", "INFO", "ready"), (1, "nginx-proxy", "INFO", "ready")
    )
    assert table["service"].tolist() == ["nginx-proxy", "ray-head"]


def test_the_order_of_lines_plays_no_part(make_observation, make_logs):
    logs = make_logs(culprit="ray-head")
    shuffled = logs.sample(frac=1.0, random_state=1).reset_index(drop=True)
    found = template_counts(make_observation(logs=logs))
    pd.testing.assert_frame_equal(template_counts(make_observation(logs=shuffled)), found)
    assert len(found) == 5


def test_only_the_beginning_of_a_long_line_counts(make_observation):
    texts = [" ".join(["word"] * 25 + list("abc")[:extra]) for extra in (1, 2, 3)]
    table = counts(make_observation, *((1, "ray-head", "INFO", text) for text in texts))
    assert table["before"].tolist() == [3]
    assert mask(pd.Series(["a b\nc 1", " a b c 2"], dtype="str"))[1] == ["a b\nc <*>", "a b c <*>"]


def test_no_logs_give_an_empty_table(make_observation):
    table = template_counts(make_observation())
    assert table.empty
    assert list(table.columns) == [
        "service", "template", "severe", "before", "after", "first_after",
    ]  # fmt: skip


@pytest.mark.parametrize("inject", [True, False])
def test_without_an_inject_time_all_lines_are_before(make_observation, make_logs, inject):
    changes = {} if inject else {"inject_time_ns": None}
    table = template_counts(make_observation(logs=make_logs(), **changes))
    assert bool(table["after"].any()) == inject


def test_lines_outside_the_window_are_not_read(make_observation):
    observation = make_observation()
    logs = lines(observation, (1, "ray-head", "INFO", "in"), (100, "ray-head", "INFO", "too late"))
    prepared = prepare(make_observation(logs=logs), Preparation()).observation
    assert template_counts(prepared)["template"].tolist() == ["in"]
