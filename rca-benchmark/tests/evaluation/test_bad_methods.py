"""Methods that sleep, eat memory, crash, answer with garbage: one row each, the rest unharmed."""

import os
import time

import pytest

from rca_benchmark.evaluation.plan import Limits

BAD = """
@declare("bad-sleeps")
def sleeps(observation, rng):
    time.sleep(3600)

@declare("bad-hangs-in-c")
def hangs(observation, rng):
    ctypes.PyDLL(None).sleep(3600)  # holds the interpreter lock

@declare("bad-leaves-a-child")
def leaves_a_child(observation, rng):
    child = os.fork()
    if child == 0:
        time.sleep(3600)
        os._exit(0)
    Path({child!r}).write_text(str(child))
    time.sleep(3600)

@declare("bad-eats-memory")
def eats(observation, rng):
    kept = []
    while True:
        kept.append(np.ones(4 * 10**6))

@declare("bad-allocates-at-once")
def allocates(observation, rng):
    return np.ones((10**6, 10**6))

@declare("bad-segfaults")
def segfaults(observation, rng):
    ctypes.string_at(0)

@declare("bad-exits")
def exits(observation, rng):
    os._exit(3)

@declare("bad-raises-system-exit")
def leaves(observation, rng):
    raise SystemExit(4)

@declare("bad-is-killed")
def killed(observation, rng):
    os.kill(os.getpid(), 9)

@declare("bad-closes-the-pipe")
def closes(observation, rng):
    os.closerange(3, 256)
    time.sleep(3600)

@declare("bad-garbage")
def garbage(observation, rng):
    return {{"ranks": [1, 2, 3]}}

@declare("bad-numbers")
def numbers(observation, rng):
    return Ranking((1, 2))

@declare("bad-unhashable")
def unhashable(observation, rng):
    return Ranking(([], {{}}))

@declare("bad-empty")
def empty(observation, rng):
    return Ranking(())

@declare("bad-repeats")
def repeats(observation, rng):
    return Ranking(("ray-head_cpu", "ray-head_cpu"))

@declare("bad-invents")
def invents(observation, rng):
    return Ranking(("ray-head_gpu",))

@declare("bad-raises")
def raises(observation, rng):
    raise ZeroDivisionError("oops")

@declare("bad-writes-values")
def writes(observation, rng):
    observation.metrics["ray-head_cpu"].to_numpy()[:] = 0.0

@declare("bad-adds-a-column")
def adds(observation, rng):
    observation.metrics["a_new"] = 1.0
    return Ranking(("ray-head_cpu",))
"""

EXPECTED = {
    "bad-adds-a-column": ("failed", "changed the observation"),
    "bad-allocates-at-once": ("oom", "out of memory: Unable to allocate"),
    "bad-closes-the-pipe": ("failed", "ended the process: closed its pipe"),
    "bad-eats-memory": ("oom", "out of memory: Unable to allocate"),
    "bad-empty": ("failed", "answered with an empty ranking"),
    "bad-exits": ("failed", "ended the process: exit status 3"),
    "bad-garbage": ("failed", "answered with a dict instead of a ranking"),
    "bad-invents": ("failed", "ranked ray-head_gpu, which is no indicator"),
    "bad-is-killed": ("oom", "killed from outside by SIGKILL"),
    "bad-leaves-a-child": ("timeout", "killed after 2 s"),
    "bad-numbers": ("failed", "ranked 1, which is no indicator"),
    "bad-raises": ("failed", "ZeroDivisionError: oops"),
    "bad-raises-system-exit": ("failed", "ended the process: exit status 4"),
    "bad-repeats": ("failed", "repeats an indicator"),
    "bad-segfaults": ("failed", "ended the process: signal SIGSEGV"),
    "bad-sleeps": ("timeout", "killed after 2 s"),
    "bad-hangs-in-c": ("timeout", "killed after 2 s"),
    "bad-unhashable": ("failed", "TypeError"),
    "bad-writes-values": ("failed", "read-only"),
}
GOOD = ("baro", "nsigma", "random")


@pytest.fixture
def bad(install, tmp_path):
    install(BAD.format(child=str(tmp_path / "child")))
    return tmp_path


def test_each_is_a_row_with_its_reason_and_the_rest_is_unharmed(bad, make_plan, run):
    limits = Limits(2.0, 512)
    plan = make_plan(1, methods=(*EXPECTED, *GOOD), limits=limits)
    rows = {row["method"]: row for row in run(plan)}
    for name, (status, reason) in EXPECTED.items():
        assert rows[name]["status"] == status, rows[name]["reason"]
        assert reason in rows[name]["reason"]
        assert rows[name]["rank_service"] is None
        assert rows[name]["fault"] == "cpu"
    alone = run(make_plan(refs=plan.refs, methods=GOOD, limits=limits), "alone")
    assert [rows[name] for name in GOOD] == alone
    child = int((bad / "child").read_text())
    while os.path.exists(f"/proc/{child}/exe"):  # noqa: PTH110 - a zombie has no exe
        time.sleep(0.02)


def test_a_case_that_exceeds_the_memory_limit_is_an_error(make_plan, run):
    rows = run(make_plan(1, ("baro",), limits=Limits(60.0, 1)))
    assert [row["status"] for row in rows] == ["error"]
