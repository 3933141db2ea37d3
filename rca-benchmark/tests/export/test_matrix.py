import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.export.matrix import MatrixReader
from rca_benchmark.export.requesting import PassingError, RefusedError

STEP_NS = 1_000_000_000
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
LABELS = st.dictionaries(st.text(min_size=1), st.text(), max_size=3)
PAIRS = st.dictionaries(st.integers(0, 10**9), NUMBERS, min_size=1, max_size=5).map(
    lambda samples: sorted(samples.items(), key=lambda pair: pair[0])
)
SERIES = st.tuples(LABELS, PAIRS)


def go_text(value):
    """A number as Prometheus writes it."""
    if np.isnan(value):
        return "NaN"
    return "+Inf" if value == np.inf else "-Inf" if value == -np.inf else repr(value)


def answer(*series, **changes):
    result = [
        {"metric": labels, "values": [[time / 1000, go_text(value)] for time, value in pairs]}
        for labels, pairs in series
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}} | changes


def read(body, cuts=()):
    found = []
    reader = MatrixReader(found.append, STEP_NS)
    start = 0
    for end in [*sorted(cuts), len(body)]:
        reader.feed(body[start:end])
        start = max(start, end)
    reader.finish()
    return found


def compact(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


@given(st.lists(SERIES, max_size=4), st.lists(st.integers(0, 400), max_size=5))
def test_any_answer_cut_anywhere_is_read_exactly(series, cuts):
    found = read(compact(answer(*series)), cuts)
    assert [one.labels for one in found] == [labels for labels, _ in series]
    for one, (_, pairs) in zip(found, series, strict=True):
        assert one.times_ns.tolist() == [time * 1_000_000 for time, _ in pairs]
        np.testing.assert_array_equal(one.samples, [value for _, value in pairs])


def test_the_times_of_whole_steps_and_of_gaps_are_exact():
    for times in ([0, 1000, 2000, 3000], [0, 1000, 3000], [500, 1500], [7000]):
        [found] = read(compact(answer(({"a": "b"}, [(time, 0.5) for time in times]))))
        assert found.times_ns.tolist() == [time * 1_000_000 for time in times]


@given(st.lists(SERIES, max_size=3))
def test_an_answer_in_other_clothes_is_read_too(series):
    found = read(json.dumps(answer(*series), indent=1).encode())
    assert [one.labels for one in found] == [labels for labels, _ in series]


def test_labels_that_look_like_the_frame_do_no_harm():
    labels = {"x": ']]},{"metric":', "y": ',"values":[[1,"2"]]}'}
    [found] = read(compact(answer((labels, [(1000, 1.5)]))))
    assert found.labels == labels
    assert found.samples.tolist() == [1.5]


def test_warnings_behind_the_series_are_no_harm():
    body = compact(answer(({"a": "b"}, [(0, 1.0)]), warnings=["slow"]))
    assert len(read(body)) == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (compact(answer(({}, [(0, 1.0)])))[:-9], PassingError),
        (b"", PassingError),
        (b"<html>", PassingError),
        (b'{"status":"error","error":"no"}', RefusedError),
        (compact(answer(status="error")), RefusedError),
        (b'{"status":"success","data":{"resultType":"vector","result":[]}}', RefusedError),
        (
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}]}}',
            RefusedError,
        ),
        (b'{"status":"success","data":{"resultType":"matrix","result":[7]}}', RefusedError),
    ],
)
def test_an_answer_that_is_none_is_refused(body, error):
    with pytest.raises(error):
        read(body)
