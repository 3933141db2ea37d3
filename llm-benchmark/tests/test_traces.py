from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_benchmark.errors import OptionError
from llm_benchmark.traces import read_trace

if TYPE_CHECKING:
    from pathlib import Path

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 7319, "output_length": 490, "hash_ids": [0, 14]}
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
PLAIN = "time_s,prompt_tokens,output_tokens\n2.5,10,20\n0.5,30,40\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text, encoding="utf-8")
    return path


def test_azure_traces_are_read_to_the_tenth_of_a_microsecond(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, AZURE))
    assert trace.due_ns.tolist() == [0, 4_314_579_000, 4_541_877_000]
    assert trace.prompt_tokens.tolist() == [374, 396, 879]
    assert trace.output_tokens.tolist() == [44, 109, 55]
    assert trace.hash_ids is None


def test_mooncake_traces_bring_their_blocks(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, MOONCAKE))
    assert trace.due_ns.tolist() == [0, 3_000_000_000]
    assert trace.hash_ids == ((0, 1, 2), (0, 14))


def test_failed_requests_of_burstgpt_are_left_out_and_counted(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, BURSTGPT))
    assert trace.due_ns.tolist() == [0, 113_000_000_000]
    assert trace.prompt_tokens.tolist() == [472, 417]
    assert trace.left_out == 1


def test_rows_are_sorted_and_replayed_faster(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, PLAIN), speed=4)
    assert trace.due_ns.tolist() == [0, 500_000_000]
    assert trace.output_tokens.tolist() == [40, 20]


def test_what_comes_after_the_end_is_cut(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, AZURE), duration_ns=4_400_000_000)
    assert len(trace.due_ns) == len(trace.prompt_tokens) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("a,b\n1,2\n", r"its columns \(a, b\) are of no known trace; known are Azure: timestamp"),
        ("time_s,prompt_tokens,output_tokens\n", "no request with tokens"),
        ("time_s,prompt_tokens,output_tokens\n1,0,0\n", "no request with tokens"),
        ("time_s,prompt_tokens,output_tokens\n1,2,3\nsoon,2,3\n", "row 2: time_s is 'soon'"),
        ("time_s,prompt_tokens,output_tokens\n1,-2,3\n", "row 1: prompt_tokens is '-2'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nlater,1,1\n", "row 1: timestamp is 'later'"),
        ('{"timestamp": 0, "input_le\n', "cannot be read"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_trace(write(tmp_path, text))


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--trace .*nowhere: cannot be read"):
        read_trace(tmp_path / "nowhere")
