import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.errors import ExportError
from rca_benchmark.export.logfiles import LogFiles, log_files, parse_records

BASE_NS = 1_795_417_200_000_000_000  # 2026-11-23T07:00:00Z
AT_12 = BASE_NS + 12_000_000_000
AT_12_345 = AT_12 + 345_000_000


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (
            "INFO 11-23 07:00:12 [loggers.py:12] Engine 000",
            (AT_12, "INFO", "[loggers.py:12] Engine 000"),
        ),
        (
            "(EngineCore pid=123) WARNING 11-23 07:00:12 [core.py:1] slow",
            (AT_12, "WARNING", "[core.py:1] slow"),
        ),
        (
            "\x1b[36m(ServeReplica:llm:app pid=7, ip=10.0.0.1)\x1b[0m INFO 11-23 07:00:12 [a:1] x",
            (AT_12, "INFO", "[a:1] x"),
        ),
        (
            "INFO 2026-11-23 07:00:12,345 proxy 10.0.0.1 file.py:12 - text",
            (AT_12_345, "INFO", "proxy 10.0.0.1 file.py:12 - text"),
        ),
        (
            "2026-11-23 07:00:12,345\tINFO file.py:12 -- text",
            (AT_12_345, "INFO", "file.py:12 -- text"),
        ),
        (
            "[2026-11-23 07:00:12,345 E 12 34] (raylet) node.cc:1: text",
            (AT_12_345, "ERROR", "(raylet) node.cc:1: text"),
        ),
        (
            "2026/11/23 07:00:12 [warn] 12#12: *1 upstream timed out",
            (AT_12, "WARNING", "12#12: *1 upstream timed out"),
        ),
        (
            '{"time": "2026-11-23T07:00:12.345Z", "level": "error", "message": "text"}',
            (AT_12_345, "ERROR", "text"),
        ),
        (
            '{"asctime": "2026-11-23 07:00:12,345", "levelname": "INFO", "msg": "text"}',
            (AT_12_345, "INFO", "text"),
        ),
        ('{"ts": 1795417212.345, "level": "warn", "msg": "text"}', (AT_12_345, "WARNING", "text")),
        ('{"timestamp": "1795417212"}', (AT_12, "", '{"timestamp": "1795417212"}')),
    ],
)
def test_each_form_of_a_line(line, record):
    assert [tuple(found) for found in parse_records([line], BASE_NS)] == [record]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "    at line 3",
        "INFO:     127.0.0.1:1 - GET /health",
        "{broken",
        '{"message": "no time"}',
        '{"time": "soon"}',
        "INFO 13-40 07:00:12 no such day",
        "[1, 2]",
    ],
)
def test_other_lines_continue_the_record_before(line):
    first = "INFO 11-23 07:00:12 [a.py:1] x"
    [record] = parse_records([first, line, first[:4] + line][:2], BASE_NS)
    assert record.message == f"[a.py:1] x\n{line}"


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"))))
def test_no_line_is_lost(lines):
    found = list(parse_records(lines, BASE_NS))
    whole = "\n".join(record if isinstance(record, str) else record.message for record in found)
    assert whole.count("\n") == max(0, len(lines) - 1)


@pytest.fixture
def logs(tmp_path):
    root = tmp_path / "logs"
    for service in ("ray-head", "nginx-proxy"):
        (root / service).mkdir(parents=True)
    return root


def test_records_of_the_window_with_service_and_source(logs, window, no_tick):
    (logs / "ray-head" / "serve").mkdir()
    (logs / "ray-head" / "serve" / "proxy.log").write_text(
        "banner\n"
        "INFO 2026-11-23 06:59:59,999 before\n"
        "INFO 2026-11-23 07:00:12,345 first\nmore\n"
        "INFO 2026-11-23 09:00:00,000 after\n"
    )
    (logs / "nginx-proxy" / "error.log").write_text("2026/11/23 07:00:12 [error] 1#1: text\n")
    (logs / "nginx-proxy" / "access.json").write_text("{}\n")
    (logs / "ray-head" / "core.dump").write_text("not a log\n")
    telemetry = LogFiles(logs).fetch(window, no_tick)
    assert telemetry.logs.to_numpy().tolist() == [
        [AT_12, "nginx-proxy", "ERROR", "1#1: text", "nginx-proxy/error.log"],
        [AT_12_345, "ray-head", "INFO", "first\nmore", "ray-head/serve/proxy.log"],
    ]
    assert telemetry.counts == {"log_records": 2, "log_lines_without_time": 1}
    assert LogFiles(logs).steps == 2


def test_bytes_that_are_no_text_do_not_stop_the_export(logs, window, no_tick):
    (logs / "ray-head" / "a.out").write_bytes(b"INFO 2026-11-23 07:00:12,345 \xff\n")
    assert len(LogFiles(logs).fetch(window, no_tick).logs) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ExportError, match="no such folder of logs"):
        log_files(tmp_path / "none")


def test_a_folder_that_is_no_service_is_named(logs):
    (logs / "ray_head").mkdir()
    with pytest.raises(ExportError, match="ray_head: a service name holds no underscore"):
        log_files(logs)
