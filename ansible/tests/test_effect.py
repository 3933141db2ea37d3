"""Effects: what ping says and what the kernel's account says, turned into numbers."""

import http.server
import json
import signal
import subprocess
import sys
import threading
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


def test_no_answer_is_one_error(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo '5 packets transmitted, 0 received'; exit 1")
    with pytest.raises(SystemExit, match=r"no answer from 10\.0\.0\.1"):
        effect.round_trip("10.0.0.1")


def test_a_ping_that_sends_nothing_is_an_error_in_its_own_words(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo 'no route' >&2; exit 2")
    with pytest.raises(SystemExit, match=r"cannot ping 10\.0\.0\.1: no route"):
        effect.loss("10.0.0.1")


def test_loss_is_the_share_that_had_no_answer(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", f"cat <<'END'\n{ANSWER}END\nexit 1")
    assert effect.loss("10.0.0.1") == {"lost_share": pytest.approx(0.4)}


def test_the_rate_is_what_came_in_the_time_between_the_answers(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    # 2 x 1242 bytes behind the first one within 899.955 ms
    fake_command("ping", f"cat <<'END'\n{ANSWER}END\nexit 1")
    measured = effect.rate("10.0.0.1")["rate_kbit"]
    assert measured == pytest.approx(2 * 1242 * 8 / 899.955)


def test_one_answer_has_no_rate(
    effect: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo 'time=2.5 ms'; echo '12 packets transmitted, 1 received'; exit 1")
    with pytest.raises(SystemExit, match="1 answers"):
        effect.rate("10.0.0.1")


def test_the_program_prints_the_measurement_and_its_instant(
    run_program: Run, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("ping", "echo 'time=2.5 ms'; echo '1 packets transmitted, 1 received'")
    printed = json.loads(run_program("effect", "round-trip", "--address", "10.0.0.1").stdout)
    assert printed.pop("at_ns") > 1_700_000_000_000_000_000
    assert printed == {"round_trip_ms": 2.5}


def test_memory_is_the_working_set_beside_its_limit(
    run_program: Run, cgroups: ModuleType, hierarchy: object, group: str
) -> None:
    cgroups.limit(hierarchy, group, 0.5, 64 << 20)
    script = "input(); kept = b'x' * (32 << 20); print(1, flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdin
        assert holder.stdout
        cgroups.enter(hierarchy, group, holder.pid)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"1\n"
        measured = json.loads(run_program("effect", "memory", "--group", group).stdout)
        holder.kill()
    assert measured["limit_bytes"] == 64 << 20
    assert measured["working_set_bytes"] >= 32 << 20


METRICS = """\
# TYPE ray_serve_deployment_status gauge
ray_serve_deployment_status{{application="demo",deployment="vllm"}} {}
ray_serve_deployment_status_other{{application="demo"}} 6.0
"""


@pytest.fixture
def head(
    effect: ModuleType, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> Iterator[Callable[[str], None]]:
    """Let the Ray head's metrics be a text."""
    texts = [""]

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(texts[-1].encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(effect, "RAY_METRICS_PORT", free_port)
    with http.server.HTTPServer(("127.0.0.1", free_port), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield texts.append
        server.shutdown()


@pytest.mark.parametrize(("status", "healthy"), [("6.0", True), ("2.0", False), ("3.0", False)])
def test_serve_says_whether_it_has_all_its_replicas(
    effect: ModuleType, head: Callable[[str], None], status: str, healthy: bool
) -> None:
    head(METRICS.format(status))
    assert effect.is_healthy("127.0.0.1") is healthy


def test_a_head_that_does_not_say_is_an_error(
    effect: ModuleType, head: Callable[[str], None]
) -> None:
    head("ray_tasks 1.0\n")
    with pytest.raises(SystemExit, match="has no ray_serve_deployment_status"):
        effect.is_healthy("127.0.0.1")


def test_a_head_that_does_not_answer_is_an_error(
    effect: ModuleType, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setattr(effect, "RAY_METRICS_PORT", free_port)
    with pytest.raises(SystemExit, match=f"http://127.0.0.1:{free_port}/metrics: "):
        effect.is_healthy("127.0.0.1")


def test_a_stopped_engine_is_seen_for_as_long_as_it_stands(
    effect: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        monkeypatch.setattr(effect.engine, "processes", lambda _group: [child.pid])
        running = effect.engine_state("pod", 0.2)
        child.send_signal(signal.SIGSTOP)
        stopped = effect.engine_state("pod", 0.2)
        child.kill()
    assert running["stopped_share"] == 0
    assert stopped["stopped_share"] > 0.9
    assert stopped["processes"] == [child.pid]


def test_without_an_engine_nothing_stands_still(
    effect: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effect.engine, "processes", lambda _group: [])
    found = effect.engine_state("pod", 0.05)
    assert found == {"processes": [], "stopped_share": 0.0, "cpu_cores": 0.0}


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
