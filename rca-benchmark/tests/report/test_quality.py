from rca_benchmark.export.base import Samples
from rca_benchmark.export.quality import quality_record
from rca_benchmark.report.quality import quality_lines


def test_the_record_is_told_in_lines(make_observation, truth):
    observation = make_observation(sli="nginx-proxy_latency-90")
    observation.metrics.loc[0:5, "ray-head_cpu"] = float("nan")
    samples = {"prometheus": Samples(100, 90)}
    record = quality_record(observation, truth, samples, {"log_records": 3}, {"ray/a": 0.5})
    lines = list(quality_lines(record, ["a_b"]))
    assert "samples of prometheus: 90 of 100" in lines
    assert "samples overall: 90.0%" in lines
    assert "indicators with gaps: ray-head_cpu 10.0%" in lines
    assert "indicators absent: a_b" in lines
    assert "log records: 3" in lines
    assert "scrapes of ray/a during the fault: 50.0%" in lines
    assert any(line.startswith("SLI moved: no (mean ") for line in lines)
    assert "the target's own indicators moved: yes" in lines
    assert any(line.startswith("  ray-head_cpu: mean ") for line in lines)


def test_a_recording_without_a_fault_tells_of_none(make_observation):
    lines = list(quality_lines(quality_record(make_observation(), None, {}, {}, {}), []))
    assert lines == ["indicators with gaps: none", "indicators absent: none"]
