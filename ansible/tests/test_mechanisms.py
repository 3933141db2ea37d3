"""Mechanisms: the best that works is chosen, and what cannot be made is refused with its reason."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

Run = Callable[..., subprocess.CompletedProcess[str]]
ANSIBLE = Path(__file__).resolve().parents[1]


@pytest.fixture
def mechanisms(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("mechanisms")


def test_the_first_that_works_is_chosen(
    mechanisms: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"netem": "Specified qdisc kind is unknown.", "nfqueue": "", "stress-ng": ""}
    monkeypatch.setattr(mechanisms, "trial", reasons.get)
    faults = {"network-delay": ["netem", "nfqueue"], "cpu": ["stress-ng"]}
    assert mechanisms.choose(faults) == ({"network-delay": "nfqueue", "cpu": "stress-ng"}, [])


def test_a_fault_without_any_is_named_with_the_reasons(
    mechanisms: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"netem": "unknown qdisc", "iptables": "not found", "signals": ""}
    monkeypatch.setattr(mechanisms, "trial", reasons.get)
    chosen, problems = mechanisms.choose(
        {"network-loss": ["netem", "iptables"], "pause": ["signals"]}
    )
    assert chosen == {"pause": "signals"}
    assert problems == [
        "fault network-loss cannot be made on this machine: netem: unknown qdisc; "
        "iptables: not found"
    ]


def test_a_trial_says_why_it_failed(root: None, mechanisms: ModuleType) -> None:
    assert mechanisms.trial("signals") == ""
    mechanisms.TRIALS["demo"] = "echo 'no such thing' >&2; exit 3"
    assert mechanisms.trial("demo") == "no such thing"
    mechanisms.TRIALS["demo"] = "exit 3"
    assert mechanisms.trial("demo") == "exit status 3"


def test_the_program_prints_the_choice_or_the_problems(run_program: Run, root: None) -> None:
    done = run_program("mechanisms", stdin=json.dumps({"pause": ["signals"]}))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"pause": "signals"})


def test_every_local_mechanism_of_the_catalogue_has_a_trial(mechanisms: ModuleType) -> None:
    catalogue = yaml.safe_load((ANSIBLE / "configs" / "faults.yaml").read_text())["faults"]
    named = {name for fault in catalogue.values() for name in fault["mechanisms"]["local"]}
    assert named <= set(mechanisms.TRIALS)
