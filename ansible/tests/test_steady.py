"""The steady state: each condition by itself, and the queries against a real Prometheus."""

import math
import shutil
import subprocess
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from rca_benchmark.errors import ExportError

CALM = {
    "targets down": 0.0,
    "replicas that answer": 2.0,
    "requests failed": 0.0,
    "requests waiting": 0.0,
    "latency": 290.0,
    "usual latency": 250.0,
}


@pytest.fixture
def steady(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("steady")


def test_a_calm_stack_is_steady(steady: ModuleType) -> None:
    assert steady.unmet(CALM, 2) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"targets down": 1.0}, "targets down: 1"),
        ({"replicas that answer": 1.0}, "replicas that answer: 1"),
        ({"replicas that answer": math.nan}, "replicas that answer: nan"),
        ({"requests failed": 0.5}, "requests failed: 0.5"),
        ({"requests waiting": 3.0}, "requests waiting: 3"),
        ({"requests waiting": math.nan}, "requests waiting: nan"),
        ({"latency": 376.0}, "latency: 376 ms, usual are 250 ms"),
        ({"latency": math.nan}, "latency: nan ms, usual are 250 ms"),
        ({"usual latency": math.nan}, "latency: 290 ms, usual are nan ms"),
    ],
)
def test_each_condition_is_needed_and_named(
    steady: ModuleType, change: dict[str, float], line: str
) -> None:
    assert steady.unmet({**CALM, **change}, 2) == [line]


def test_a_query_without_an_answer_is_no_number(
    steady: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        steady, "instant_query", lambda _, query: [({}, 2.0)] if "up" in query else []
    )
    values = steady.look(None, 1)
    assert set(values) == set(CALM)
    assert values["targets down"] == 2
    assert math.isnan(values["latency"])


AWAY = ExportError("prometheus at http://127.0.0.1:1: no answer")


class Servers:
    """Answers that change from look to look, or none."""

    def __init__(self, looks: list[dict[str, float] | ExportError]) -> None:
        self.looks = looks

    def look(self, _server: object, _scrapes_every_s: int) -> dict[str, float]:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, ExportError):
            raise found
        return found


@pytest.mark.parametrize(
    ("looks", "status", "printed"),
    [
        ([CALM], 0, ""),
        ([{**CALM, "requests waiting": 1.0}, CALM], 0, ""),
        ([{**CALM, "requests waiting": 1.0}], 3, "requests waiting: 1\n"),
        ([AWAY, CALM], 0, ""),
        ([AWAY], 3, f"{AWAY}\n"),
    ],
)
def test_it_waits_for_as_long_as_it_may(
    steady: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    looks: list[dict[str, float] | ExportError],
    status: int,
    printed: str,
) -> None:
    monkeypatch.setattr(steady, "look", Servers(looks).look)
    clock = iter(range(1000))
    fake = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _seconds: None)
    monkeypatch.setattr(steady, "time", fake)
    arguments = ["steady.py", "--prometheus=http://127.0.0.1:1", "--replicas=2", "--patience=5"]
    monkeypatch.setattr("sys.argv", arguments)
    if status:
        with pytest.raises(SystemExit) as ended:
            steady.main()
        assert ended.value.code == status
    else:
        steady.main()
    assert capsys.readouterr().out == printed


def test_an_address_that_is_none_fails_at_once(
    steady: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["steady.py", "--prometheus=nowhere", "--replicas=2", "--patience=1000"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="'nowhere' is no address"):
        steady.main()


def test_prometheus_can_read_every_query(steady: ModuleType) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not on PATH")
    rules = "groups:\n- name: steady\n  rules:\n" + "".join(
        f"  - record: steady:{number}\n    expr: {query!r}\n"
        for number, query in enumerate(steady.queries(5).values())
    )
    checked = subprocess.run(
        [promtool, "check", "rules", "/dev/stdin"], input=rules, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(steady.queries(5))} rules found" in checked.stdout
