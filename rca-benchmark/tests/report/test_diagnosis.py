import pytest

from rca_benchmark.errors import BenchError
from rca_benchmark.report.diagnosis import diagnosis_table


def test_the_first_five_suspects_with_their_means(make_observation):
    observation = make_observation()
    table = diagnosis_table(observation, "baro")
    service, indicator, before, after = (list(column.cells) for column in table.columns[1:])
    assert len(indicator) == 5
    assert service[:2] == ["ray-head", "ray-head"]
    values = observation.metrics[indicator[0]]
    assert before[0] == f"{values[:40].mean():.4g}"
    assert after[0] == f"{values[40:].mean():.4g}"


def test_an_unknown_method_is_refused(make_observation):
    with pytest.raises(BenchError, match="no method"):
        diagnosis_table(make_observation(), "best")
