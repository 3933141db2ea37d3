"""The validity report on made-up data sets: faults of known size, leaks that are planted."""

import re

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    GroundTruth,
    Injection,
    Observation,
    typed_table,
)
from rca_benchmark.cli import main
from rca_benchmark.dataset.native import write_case
from rca_benchmark.validity.effects import effect_table, moves, neighbour_table, rejected_table
from rca_benchmark.validity.leaks import rule_table, shape_table
from rca_benchmark.validity.recordings import CONTROL, read_recordings
from rca_benchmark.validity.repeats import repeat_table, schema_differences

SECOND = 10**9
START = 1_700_000_000 * SECOND
SERVICES = ("nginx-proxy", "ray-replicas-0", "ray-replicas-1")
SLI = "nginx-proxy_latency-90"
ROWS, ACTIVE, REMOVED = 60, 30, 50


def recording(seed, target, *, size=3.0, sli=2.0, rows=ROWS, change=None):
    """Metrics in which a fault multiplies the target's CPU and the SLI."""
    rng = np.random.default_rng(seed)
    noise = lambda level: level * (1 + 0.01 * rng.normal(size=rows))  # noqa: E731
    columns = {SLI: noise(0.3)} | {f"{service}_cpu": noise(0.2) for service in SERVICES}
    for metric, level in (("itl-90", 0.02), ("generation-tokens", 30.0), ("throttled", 0.1)):
        columns |= {f"ray-replicas-{number}_{metric}": noise(level) for number in (0, 1)}
    metrics = pd.DataFrame({"time": START + np.arange(rows) * SECOND, **columns})
    if target is not None:
        during = slice(ACTIVE, REMOVED)
        metrics.loc[during, f"{target}_cpu"] *= size
        metrics.loc[during, SLI] *= sli
        for sibling in {*SERVICES[1:]} - {target}:
            metrics.loc[during, f"{sibling}_generation-tokens"] *= 1.5
            metrics.loc[during, f"{sibling}_cpu"] *= 1.25
            metrics.loc[during, f"{sibling}_throttled"] *= 2
    if change is not None:
        change(metrics, target)
    return Observation(
        metrics=metrics,
        logs=typed_table([], LOG_COLUMNS),
        traces=typed_table([], TRACE_COLUMNS),
        topology=typed_table([], EDGE_COLUMNS),
        inject_time_ns=START + ACTIVE * SECOND if target is not None else None,
        sli=SLI,
        services=SERVICES,
        step_ns=SECOND,
    )


def write(root, name, observation, target, reasons=()):
    truth = None
    if target is not None:
        times = {"active_ns": START + ACTIVE * SECOND, "removed_ns": START + REMOVED * SECOND}
        truth = GroundTruth(target, "cpu", Injection(**times))
    quality = {"status": "rejected" if reasons else "accepted", "reasons": list(reasons)}
    write_case(root / name, observation, truth, attachments={}, absent=(), quality=quality)


def dataset(root, cases=40, **options):
    """Cases with targets dealt out at random, and two controls."""
    targets = np.random.default_rng(1).permutation(np.resize(SERVICES, cases))
    for number, target in enumerate(targets):
        write(root, f"case-{number:02}", recording(number, target, **options), target)
    for number in (1, 2):
        write(root, f"control_{number}", recording(1000 + number, None), None)
    return root


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("data") / "sound")


def test_the_sizes_of_effects_are_found(sound):
    table = effect_table(moves(read_recordings(sound)), SLI).set_index("fault")
    assert table.loc["cpu", "sli_change"] == pytest.approx(1.0, abs=0.05)
    assert table.loc["cpu", ["sli_moved", "own_moved"]].tolist() == [1, 1]
    assert re.match(r"cpu \+(19[5-9]|20[0-5])%", table.loc["cpu", "signature"])
    assert table.loc[CONTROL, "sli_change"] == pytest.approx(0, abs=0.05)
    assert table.loc[CONTROL, "sli_moved"] == 0
    assert np.isnan(table.loc[CONTROL, "own_moved"])


def test_siblings_are_the_other_replicas_and_throttled_per_token_and_cpu_time(sound):
    recordings = read_recordings(sound)
    table = neighbour_table(recordings).set_index("fault")
    row = table.loc["cpu"]
    targets = [r.truth.service for r in recordings if r.truth]
    assert row["cases"] == sum("replicas" in name for name in targets)
    # They take over half as much load again, and are throttled twice as much, not only for it.
    sizes = {
        "load": 0.5,
        "step_time": 0,
        "throttling_per_token": 2 / 1.5 - 1,
        "throttling_per_cpu": 2 / 1.25 - 1,
    }
    for measure, size in sizes.items():
        assert row[measure] == pytest.approx(size, abs=0.03)
        assert row[f"{measure}_low"] < row[measure] < row[f"{measure}_high"]
    assert table.loc[CONTROL, "cases"] == 2
    assert table.loc[CONTROL, "load"] == pytest.approx(0, abs=0.03)


def test_what_moves_by_little_is_no_signature(tmp_path):
    def hardly(metrics, target):
        memory = 1 + 1e-4 * np.random.default_rng(4).normal(size=ROWS)
        metrics["nginx-proxy_mem"] = memory
        metrics.loc[ACTIVE:REMOVED, "nginx-proxy_mem"] = memory[ACTIVE : REMOVED + 1] * 1.01

    observation = recording(3, "nginx-proxy", change=hardly)
    write(tmp_path, "case", observation, "nginx-proxy")
    table = moves(read_recordings(tmp_path))
    assert table.set_index("indicator").loc["nginx-proxy_mem", "moved"]
    assert "mem" not in effect_table(table, SLI).loc[0, "signature"]


def test_a_control_is_read_where_a_fault_would_have_been(sound):
    controls = [r for r in read_recordings(sound) if r.truth is None]
    assert [r.name for r in controls] == ["control_1", "control_2"]
    assert {int(r.before().sum()) for r in controls} == {ACTIVE}
    assert {int(r.during().sum()) for r in controls} == {REMOVED - ACTIVE + 1}


def test_rejected_cases_are_counted_with_their_reasons(tmp_path):
    root = dataset(tmp_path / "data", cases=3)
    write(root, "poor", recording(7, "nginx-proxy"), "nginx-proxy", ["no sample was received"])
    table = rejected_table(read_recordings(root)).set_index("fault")
    assert table.loc["cpu"].tolist() == [4, 1, "no sample was received"]
    assert table.loc[CONTROL].tolist() == [2, 0, ""]


def test_a_sound_data_set_tells_nothing(sound, capsys, tmp_path):
    recordings = read_recordings(sound)
    assert (shape_table(recordings)["values"] == 1).all()
    assert not rule_table(recordings)["tells"].any()
    assert main(["validity", str(sound), "--out", str(tmp_path / "validity.md")]) == 0
    text = (tmp_path / "validity.md").read_text()
    assert "| cpu | 40 | +" in text
    assert "0 of them are right more often than chance" in text


def busy_before(metrics, target):
    metrics.loc[: ACTIVE - 1, f"{target}_cpu"] *= 1.5


def gap_before(metrics, target):
    metrics.loc[:3, f"{target}_cpu"] = np.nan


def absent(metrics, target):
    metrics[f"{target}_cpu"] = np.nan


@pytest.mark.parametrize(
    ("leak", "rule"),
    [
        (busy_before, "most cpu before the fault"),
        (gap_before, "most gaps before the fault"),
        (absent, "most absent indicators"),
    ],
)
def test_a_planted_leak_is_found(tmp_path, capsys, leak, rule):
    root = dataset(tmp_path / "data", change=leak)
    table = rule_table(read_recordings(root)).set_index("rule")
    assert table.loc[rule, "right"] == 1
    assert table.loc[rule, "tells"]
    assert main(["validity", str(root)]) == 1
    printed = capsys.readouterr()
    assert "something gives targets away" in printed.err
    assert rule in printed.out


def test_an_order_that_repeats_targets_is_found(tmp_path):
    for number, target in enumerate(np.repeat(SERVICES, 14)):
        observation = recording(number, target)
        write(tmp_path / "data", f"case-{number:02}", observation, target)
    table = rule_table(read_recordings(tmp_path / "data")).set_index("rule")
    assert table.loc["target of the recording before", "tells"]


def test_a_length_that_depends_on_the_fault_is_found(tmp_path):
    root = dataset(tmp_path / "data", cases=3)
    write(root, "longer", recording(9, "nginx-proxy", rows=ROWS + 1), "nginx-proxy")
    shapes = shape_table(read_recordings(root)).set_index("property")["values"]
    assert shapes["rows"] == 2
    assert shapes["services and their order"] == 1


def test_the_same_seed_gives_the_same_table(sound):
    recordings = read_recordings(sound)
    pd.testing.assert_frame_equal(rule_table(recordings, 3), rule_table(recordings, 3))


def test_without_a_fault_there_is_nothing_to_say(tmp_path, capsys):
    write(tmp_path / "data", "control_1", recording(1, None), None)
    assert main(["validity", str(tmp_path / "data")]) == 1
    assert "no native case with a fault" in capsys.readouterr().err


def test_a_second_recording_lies_within_the_spread_of_the_first(sound, tmp_path, capsys):
    again = tmp_path / "again"
    for number in range(4):
        write(again, f"case-{number}", recording(500 + number, SERVICES[0]), SERVICES[0])
    first, second = read_recordings(sound), read_recordings(again)
    assert schema_differences(first, second) == []
    table = repeat_table(first, second, SLI)
    assert table["inside"].all()
    assert ((table["low"] < 1) & (table["high"] > 1)).all()
    assert main(["validity", str(again), "--against", str(sound)]) == 0
    assert "Schema: the same." in capsys.readouterr().out


def test_a_second_recording_with_another_effect_or_schema_is_told(sound, tmp_path, capsys):
    again = tmp_path / "again"
    write(again, "weak", recording(5, SERVICES[0], sli=1.2), SERVICES[0])
    assert not repeat_table(read_recordings(sound), read_recordings(again), SLI)["inside"].any()
    assert main(["validity", str(again), "--against", str(sound)]) == 1
    assert "differs (Recorded again)" in capsys.readouterr().err
    short = tmp_path / "short"
    write(short, "short", recording(6, SERVICES[0], rows=ROWS - 1), SERVICES[0])
    assert schema_differences(read_recordings(sound), read_recordings(short)) == ["rows"]


def test_the_spread_is_the_prediction_interval_of_one_more_case_at_the_target(tmp_path):
    exact = {"nginx-proxy": [1.5, 2.5], "ray-replicas-0": [5.0, 6.0, 7.0]}
    for target, sizes in exact.items():
        for size in sizes:
            observation = recording(1, target, sli=size)
            write(tmp_path / "first", f"{target}-{size}", observation, target)
    write(tmp_path / "second", "case", recording(1, "nginx-proxy", sli=2.0), "nginx-proxy")
    first, second = (read_recordings(tmp_path / name) for name in ("first", "second"))
    row = repeat_table(first, second, SLI).iloc[0]
    # By hand: the noise is the same in all, so that only the sizes differ.
    level = (1 + row["change"]) / 2.0
    near, far = (np.log(level * np.array(sizes)) for sizes in exact.values())
    squares = ((near - near.mean()) ** 2).sum() + ((far - far.mean()) ** 2).sum()
    t_of_3 = 5.8409  # 99.5 % quantile of Student's t, from a table
    reach = t_of_3 * np.sqrt(squares / 3 * (1 + 1 / 2))
    expected = np.exp([near.mean() - reach, near.mean() + reach]) - 1
    assert row[["low", "high"]].tolist() == pytest.approx(expected.tolist(), rel=1e-3)
    assert row["target"] == "nginx-proxy"
    assert row["inside"]


def test_a_target_that_the_first_recording_lacks_is_not_compared(tmp_path, capsys):
    known, other, unknown = SERVICES
    for number in range(8):
        target = (known, other)[number % 2]
        write(tmp_path / "first", f"case-{number}", recording(number, target), target)
    write(tmp_path / "second", "known", recording(20, known), known)
    write(tmp_path / "second", "unknown", recording(21, unknown, sli=9.0), unknown)
    main(["validity", str(tmp_path / "second"), "--against", str(tmp_path / "first")])
    printed = capsys.readouterr().out
    assert re.search(r"\| known \| cpu \| nginx-proxy \| \+\d+% \| .* \| yes \|", printed)
    assert re.search(r"\| unknown \| cpu \| ray-replicas-1 \| \+\d+% \| - \| - \|", printed)


def test_an_sli_that_fell_to_nothing_has_no_spread(tmp_path):
    for number, sli in enumerate([0.0, 2.0, 2.0, 2.0, 2.0]):
        write(tmp_path, f"case-{number}", recording(number, SERVICES[0], sli=sli), SERVICES[0])
    recordings = read_recordings(tmp_path)
    assert repeat_table(recordings, recordings, SLI)["low"].isna().all()


def test_too_few_cases_are_nothing_to_compare_with(sound, tmp_path, capsys):
    few = tmp_path / "few"
    write(few, "case", recording(1, SERVICES[0]), SERVICES[0])
    assert main(["validity", str(sound), "--against", str(few)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{few}: too few cases of control, cpu to compare" in printed.err
    assert "expected the recording that has more cases" in printed.err
