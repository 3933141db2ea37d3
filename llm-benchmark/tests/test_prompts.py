from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_benchmark.errors import OptionError
from llm_benchmark.prompts import WORDS, literal, synthetic

if TYPE_CHECKING:
    from pathlib import Path


def test_a_synthetic_prompt_has_exactly_the_words_asked_for() -> None:
    words = synthetic(100, seed=1)(0).split(" ")
    assert len(words) == 100
    assert set(words) <= set(WORDS)


def test_prompts_differ_between_requests_and_between_seeds() -> None:
    prompts = [synthetic(16, seed)(index) for seed in (1, 2) for index in range(10)]
    assert len(set(prompts)) == 20


def test_a_prompt_depends_on_seed_and_index_only_not_on_those_before_it() -> None:
    in_order = synthetic(16, seed=5)
    assert [in_order(index) for index in range(4)][3] == synthetic(16, seed=5)(3)


def test_the_words_are_distinct_and_lower_case() -> None:
    assert len(WORDS) == len(set(WORDS)) >= 200
    assert all(word.isalpha() and word.islower() for word in WORDS)


def test_a_literal_prompt_is_the_same_for_every_request() -> None:
    prompt = literal("why is the sky blue?")
    assert prompt(0) == prompt(9) == "why is the sky blue?"


def test_a_prompt_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Grüße\n", encoding="utf-8")
    assert literal(f"@{path}")(0) == "Grüße\n"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_prompt_file_without_text_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prompt.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionError, match=r"--prompt @.*prompt\.txt: .*; give"):
        literal(f"@{path}")
