"""Effects: what ping says and what the kernel's account says, turned into numbers."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
ANSWER = """\
PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.
64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=900 ms
64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=61.5 ms
64 bytes from 10.0.0.1: icmp_seq=4 ttl=64 time=0.045 ms

--- 10.0.0.1 ping statistics ---
5 packets transmitted, 3 received, 40% packet loss, time 812ms
rtt min/avg/max/mdev = 0.045/320.515/900.000/4.1 ms
"""


@pytest.fixture
def effect(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("effect")


def account(cpu_s: float, throttled: int, periods: int) -> dict[str, float]:
    """Return what the measurement reads of a group's account, and something that it does not."""
    return {
        "container_cpu_usage_seconds_total": cpu_s,
        "container_cpu_cfs_throttled_periods_total": throttled,
        "container_cpu_cfs_periods_total": periods,
        "container_memory_rss": 1000,
    }


@pytest.fixture
def accounts(
    effect: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, float], dict[str, float]], None]:
    """Let a group have one account before and one 2 s later."""

    def give(before: dict[str, float], after: dict[str, float]) -> None:
        usage: Iterator[dict[str, float]] = iter([before, after])
        clock = iter([100.0, 102.0])
        monkeypatch.setattr(effect.cgroups, "find_hierarchy", lambda: None)
        monkeypatch.setattr(effect.cgroups, "usage", lambda _hierarchy, _group: next(usage))
        fake = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _seconds: None)
        monkeypatch.setattr(effect, "time", fake)

    return give


def test_throttling_is_the_share_of_periods_meanwhile(
    effect: ModuleType, accounts: Callable[..., None]
) -> None:
    accounts(account(10.0, 50, 200), account(11.0, 75, 300))
    assert effect.throttling("pod", 2.0) == {"throttled_share": 0.25, "cpu_cores": 0.5}


def test_a_group_that_did_not_want_to_run_is_not_throttled(
    effect: ModuleType, accounts: Callable[..., None]
) -> None:
    accounts(account(10.0, 50, 200), account(10.0, 50, 200))
    assert effect.throttling("pod", 2.0) == {"throttled_share": 0.0, "cpu_cores": 0.0}


def test_a_round_trip_is_the_median_of_what_came_back(
    effect: ModuleType, fake_command: Callable[[str, str], Path], tmp_path: Path
) -> None:
    fake_command(
        "ping", f"echo \"$LC_ALL $*\" > {tmp_path}/asked\ncat <<'END'\n{ANSWER}END\nexit 1"
    )
    assert effect.round_trip("10.0.0.1") == {"round_trip_ms": 61.5}
    assert (tmp_path / "asked").read_text() == "C -n -c 5 -i 0.2 -W 15 10.0.0.1\n"


def test_no_answer_is_one_error_with_pings_own_words(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo '100% packet loss'; echo 'no route' >&2; exit 1")
    with pytest.raises(SystemExit, match=r"no answer from 10\.0\.0\.1: 100% packet loss\nno route"):
        effect.round_trip("10.0.0.1")


def test_the_program_prints_the_measurement_and_its_instant(
    run_program: Run, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo 'icmp_seq=1 time=2.5 ms'")
    printed = json.loads(run_program("effect", "round-trip", "--address", "10.0.0.1").stdout)
    assert printed.pop("at_ns") > 1_700_000_000_000_000_000
    assert printed == {"round_trip_ms": 2.5}


def test_a_busy_group_with_a_limit_is_seen_throttled(
    run_program: Run,
    cgroups: ModuleType,
    hierarchy: object,
    group: str,
    burn: Callable[[str], object],
) -> None:
    cgroups.limit(hierarchy, group, 0.1, 64 << 20)
    burn(group)
    arguments = ("throttling", "--group", group, "--seconds", 0.5)
    measured = json.loads(run_program("effect", *arguments).stdout)
    assert measured["throttled_share"] > 0
    assert 0 < measured["cpu_cores"] < 1
