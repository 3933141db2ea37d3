import pandas as pd

from rca_benchmark.templates import number


def test_messages_of_one_template_share_its_identity():
    messages = pd.Series(["took 5 ms", "took 17 ms", "stopped"], dtype="str")
    identities, templates = number(messages)
    assert identities[0] == identities[1] != identities[2]
    assert len(identities[0]) == 8
    texts = dict(zip(templates["template"], templates["text"], strict=True))
    assert texts[identities[0]] == "took <*> ms"
    lines = dict(zip(templates["text"], templates["lines"], strict=True))
    assert lines == {"took <*> ms": 2, "stopped": 1}


def test_equal_templates_of_two_cases_have_the_same_identity():
    first, _ = number(pd.Series(["took 5 ms"], dtype="str"))
    second, _ = number(pd.Series(["stopped", "took 9 ms"], dtype="str"))
    assert first[0] == second[1]


def test_no_message_is_no_template():
    identities, templates = number(pd.Series([], dtype="str"))
    assert len(identities) == len(templates) == 0
