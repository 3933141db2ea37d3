from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_benchmark import prompts
from llm_benchmark.distributions import constant, parse
from llm_benchmark.errors import OptionError
from llm_benchmark.prompts import BLOCK, DRAWN_TOGETHER
from llm_benchmark.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from llm_benchmark.prompts import Content

TOKENIZER = load_tokenizer("words")


def synthetic(lengths: str = "16", turns: str = "1", seed: int = 5, **prefix: int) -> Content:
    return prompts.synthetic(
        TOKENIZER, parse(lengths), parse("uniform:min=1,max=9"), parse(turns), seed, **prefix
    )


def test_every_text_has_exactly_the_tokens_that_were_drawn() -> None:
    content = synthetic("uniform:min=1,max=300", turns="3")
    texts = [turn for index in range(1000) for turn in content(index)]
    assert all(TOKENIZER.count(turn.text) == turn.prompt_tokens for turn in texts)
    assert {turn.prompt_tokens for turn in texts} >= set(range(10, 290))
    assert {turn.output_tokens for turn in texts} == set(range(1, 10))


def test_conversations_have_the_turns_that_were_drawn() -> None:
    content = synthetic(turns="uniform:min=1,max=4")
    assert {len(content(index)) for index in range(200)} == {1, 2, 3, 4}


def test_texts_differ_between_requests_and_between_seeds() -> None:
    texts = [synthetic(seed=seed)(index)[0].text for seed in (1, 2) for index in range(100)]
    assert len(set(texts)) == 200


@given(st.lists(st.integers(0, 700), min_size=1, max_size=30))
def test_a_conversation_is_the_same_whoever_asks_and_in_whatever_order(asked: list[int]) -> None:
    content = synthetic("normal:mean=8,sd=3", turns="uniform:min=1,max=3", prefix_tokens=4)
    other = synthetic("normal:mean=8,sd=3", turns="uniform:min=1,max=3", prefix_tokens=4)
    assert [content(index) for index in asked] == [other(index) for index in asked]
    assert other(asked[0]) == synthetic(
        "normal:mean=8,sd=3", turns="uniform:min=1,max=3", prefix_tokens=4
    )(asked[0])


def test_long_prompts_are_the_same_whoever_asks() -> None:
    assert BLOCK * 1000 > DRAWN_TOGETHER
    content = synthetic("1000", turns="2", prefix_tokens=5)
    asked = [content(index) for index in range(70)]
    assert {(turn.prompt_tokens, TOKENIZER.count(turn.text)) for turn, _ in asked} == {(1005, 1005)}
    assert {TOKENIZER.count(turn.text) for _, turn in asked} == {1000}
    assert len({turn.text for turns in asked for turn in turns}) == 140
    for index in (69, 3):
        assert synthetic("1000", turns="2", prefix_tokens=5)(index) == asked[index]


@given(st.lists(st.integers(0, 199), min_size=1, max_size=30))
def test_a_traces_prompt_is_the_same_whoever_asks(asked: list[int]) -> None:
    lengths = np.arange(1, 201)

    def content() -> Content:
        return prompts.of_lengths(TOKENIZER, lengths, lengths, seed=1)

    one = content()
    assert [one(index) for index in asked] == [content()(index) for index in asked]
    assert TOKENIZER.count(one(asked[0])[0].text) == lengths[asked[0]]


def test_the_prompts_of_a_group_share_their_prefix_and_nothing_else() -> None:
    content = synthetic("20", turns="2", prefix_tokens=30, prefix_groups=3)
    firsts = [content(index)[0] for index in range(100)]
    assert {turn.prompt_tokens for turn in firsts} == {50}
    prefixes = {" ".join(turn.text.split()[:30]) for turn in firsts}
    assert len(prefixes) == 3
    assert len({turn.text for turn in firsts}) == 100
    assert {content(index)[1].prompt_tokens for index in range(100)} == {20}


def test_a_trace_is_asked_in_its_lengths() -> None:
    asked, answered = np.array([3, 700, 1]), np.array([4, 5, 6])
    content = prompts.of_lengths(TOKENIZER, asked, answered, seed=1)
    for index in range(3):
        [turn] = content(index)
        assert TOKENIZER.count(turn.text) == turn.prompt_tokens == asked[index]
        assert turn.output_tokens == answered[index]


def test_equal_blocks_of_a_trace_are_equal_texts() -> None:
    asked = np.array([1100, 1500, 600])
    ids = [[7, 8], [7, 9, 10], [11]]
    content = prompts.of_lengths(TOKENIZER, asked, asked, seed=1, hash_ids=ids)
    first, second, third = (content(index)[0].text.split() for index in range(3))
    assert [len(words) for words in (first, second, third)] == [1100, 1500, 600]
    assert first[:512] == second[:512]
    assert first[512:1024] != second[512:1024]
    assert third[:512] != first[:512]


def test_a_literal_prompt_is_the_same_for_every_request() -> None:
    content = prompts.literal("why is the sky blue?", TOKENIZER, parse("uniform:min=1,max=9"), 3)
    turns = [content(index)[0] for index in range(50)]
    assert {(turn.text, turn.prompt_tokens) for turn in turns} == {("why is the sky blue?", 5)}
    assert {turn.output_tokens for turn in turns} == set(range(1, 10))


def test_a_prompt_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Grüße\n", encoding="utf-8")
    content = prompts.literal(f"@{path}", load_tokenizer("bytes"), constant(2), 0)
    assert content(0) == (("Grüße\n", 8, 2),)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_prompt_file_without_text_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prompt.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionError, match=r"--prompt @.*prompt\.txt: .*; give"):
        prompts.literal(f"@{path}", TOKENIZER, constant(1), 0)
