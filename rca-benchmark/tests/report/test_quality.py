from rca_benchmark.export.quality import Bars, Bookkeeping, quality_record
from rca_benchmark.report.quality import quality_lines


def test_the_record_is_told_in_lines(make_observation, truth):
    observation = make_observation(sli="nginx-proxy_latency-90")
    observation.metrics.loc[0:5, "ray-head_cpu"] = float("nan")
    received = dict.fromkeys(observation.indicators, 60) | {
        "nginx-proxy_cpu": 42,
        "ray-head_cpu": 54,
    }
    kept = Bookkeeping(received, {"log_records": 3}, {"loki": 0.25}, {"ray/a": 0.5}, ["odd"])
    record = quality_record(observation, truth, kept, Bars())
    lines = list(quality_lines(record, ["a_b"]))
    share = "95.0% where the fault takes none"
    assert f"samples: 456 of 480 in 8 indicators, {share}" in lines
    assert "indicators with gaps: ray-head_cpu 10.0%" in lines
    assert "indicators absent: a_b" in lines
    assert "log records: 3" in lines
    assert "clock of loki: +0.25 s" in lines
    assert "scrapes of ray/a during the fault: 50.0%" in lines
    assert any(line.startswith("SLI moved: no (mean ") for line in lines)
    assert "the target's own indicators moved: yes" in lines
    assert any(line.startswith("  ray-head_cpu: mean ") for line in lines)
    assert lines[-1] == "case rejected; odd"


def test_a_recording_without_a_fault_tells_of_none(make_observation):
    record = quality_record(make_observation(), None, Bookkeeping({}), Bars(samples=0))
    lines = list(quality_lines(record, []))
    assert lines[:2] == ["indicators with gaps: none", "indicators absent: none"]
    assert lines[-1].startswith(
        "case rejected; no sample was received; no indicator of nginx-proxy"
    )


def test_long_lists_are_cut(make_observation, truth):
    record = quality_record(make_observation(), truth, Bookkeeping({}), Bars())
    absent = [f"a_{number}" for number in range(15)]
    assert "a_11 and 3 more" in next(
        line for line in quality_lines(record, absent) if "absent" in line
    )
