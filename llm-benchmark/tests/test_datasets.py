from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llm_benchmark.datasets import Pair, read_dataset
from llm_benchmark.distributions import constant, parse
from llm_benchmark.errors import OptionError
from llm_benchmark.prompts import from_dialogues
from llm_benchmark.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

SHARE_GPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "one two"},
            {"from": "gpt", "value": "three four five"},
            {"from": "human", "value": "six"},
            {"from": "gpt", "value": "seven"},
        ],
    },
    {"id": "b", "conversations": [{"from": "gpt", "value": "nobody asked"}]},
    {
        "id": "c",
        "conversations": [
            {"from": "system", "value": "be kind"},
            {"from": "human", "value": "hello"},
            {"from": "gpt", "value": "hello you"},
        ],
    },
]
LINES = [
    {"prompt": "a b", "completion": "c d e"},
    {"prompt": "f", "output_tokens": 7},
    {"messages": [{"role": "user", "content": "g h"}, {"role": "assistant", "content": "i"}]},
]


def write(folder: Path, text: str) -> Path:
    path = folder / "dataset"
    path.write_text(text, encoding="utf-8")
    return path


def test_sharegpt_dialogues_begin_with_the_user(tmp_path: Path) -> None:
    dialogues = read_dataset(write(tmp_path, json.dumps(SHARE_GPT)))
    assert dialogues == [
        (("one two", "three four five", 0), ("six", "seven", 0)),
        (("be kind\n\nhello", "hello you", 0),),
    ]


def test_json_lines_are_prompts_or_messages(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(line) for line in LINES) + "\n\n"
    assert read_dataset(write(tmp_path, text)) == [
        (("a b", "c d e", 0),),
        (("f", "", 7),),
        (("g h", "i", 0),),
    ]


def test_a_number_of_tokens_is_for_the_last_turn(tmp_path: Path) -> None:
    messages = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b c"},
        {"role": "tool", "content": "ignored"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": None},
    ]
    text = json.dumps({"messages": messages, "output_tokens": 9})
    [dialogue] = read_dataset(write(tmp_path, text))
    assert dialogue == (("be kind\n\na", "b c", 0), ("d", "", 9))
    content = from_dialogues([dialogue], load_tokenizer("words"), None, constant(2), seed=1)
    assert [turn.output_tokens for turn in content(0)] == [2, 9]


def test_a_blank_answer_tells_no_length(tmp_path: Path) -> None:
    dialogues = read_dataset(write(tmp_path, '{"prompt": "a", "completion": " "}'))
    assert dialogues == [(("a", "", 0),)]


def test_every_turn_has_its_own_drawn_length(tmp_path: Path) -> None:
    dialogues = [tuple(Pair(str(place), "", 0) for place in range(5))] * 3
    outputs = parse("uniform:min=1,max=1000000")
    content = from_dialogues(dialogues, load_tokenizer("words"), outputs, constant(5), seed=1)
    drawn = [turn.output_tokens for index in range(100) for turn in content(index)]
    assert len(set(drawn)) > 490


def test_answers_are_asked_for_in_the_length_that_the_data_have(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(line) for line in LINES)
    dialogues = read_dataset(write(tmp_path, text))
    content = from_dialogues(dialogues, load_tokenizer("words"), None, constant(1), seed=1)
    found = {(turn.text, turn.output_tokens) for index in range(3) for turn in content(index)}
    assert found == {("a b", 3), ("f", 7), ("g h", 1)}


def test_dialogues_come_in_the_seeds_order_and_again_when_used_up(tmp_path: Path) -> None:
    dialogues = [(Pair(str(number), "", 1),) for number in range(50)]

    def texts(seed: int) -> list[str]:
        content = from_dialogues(
            dialogues, load_tokenizer("words"), constant(2), constant(1), seed=seed
        )
        return [content(index)[0].text for index in range(100)]

    assert texts(1)[:50] == texts(1)[50:] != texts(2)[:50]
    assert sorted(texts(1)[:50]) == sorted(str(number) for number in range(50))


def test_turns_are_cut_where_fewer_are_asked_for(tmp_path: Path) -> None:
    dialogues = read_dataset(write(tmp_path, json.dumps(SHARE_GPT)))
    tokenizer = load_tokenizer("words")
    for turns in (1, 2):
        content = from_dialogues(dialogues, tokenizer, constant(2), constant(turns), seed=1)
        assert max(len(content(index)) for index in range(2)) == turns


def test_lengths_that_nobody_tells_are_asked_for(tmp_path: Path) -> None:
    dialogues = read_dataset(write(tmp_path, '{"prompt": "a"}'))
    with pytest.raises(OptionError, match="give --output-tokens"):
        from_dialogues(dialogues, load_tokenizer("words"), None, constant(1), seed=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no entry has a prompt"),
        ("[]", "no entry has a prompt"),
        ('{"prompt": " "}', "no entry has a prompt"),
        ("[{", "is no JSON .*; mend it"),
        ('{"prompt": "a"}\n{"prompt"', "line 2 is no JSON"),
        ('{"prompt": "a"}\n{"text": "b"}', "line 2 is no dialogue"),
        ("[3]", "entry 1 is no dialogue"),
        ('{"prompt": 3}', "line 1 is no dialogue .*3 is no text"),
        ('{"messages": [{"role": "user", "content": [{}]}]}', "line 1 is no dialogue .*no text"),
        ('{"prompt": "a", "output_tokens": -1}', "line 1 is no dialogue .*output_tokens is -1"),
        ('{"prompt": "a", "output_tokens": "9"}', "line 1 is no dialogue .*output_tokens is '9'"),
        ('[{"conversations": [{"value": "x"}]}]', "entry 1 is no dialogue"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_dataset(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--dataset .*nowhere: cannot be read"):
        read_dataset(tmp_path / "nowhere")
