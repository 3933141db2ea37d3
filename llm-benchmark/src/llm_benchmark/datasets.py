"""Prompts that people have written: dialogues from files.

- ShareGPT's form: a JSON array of ``{"conversations": [{"from": "human", "value": ...}, ...]}``
  (https://huggingface.co/datasets/anon8231489123/ShareGPT_Vicuna_unfiltered).
- JSON lines of ``{"prompt": ..., "completion": ..., "output_tokens": ...}``, of which two may lack.
- JSON lines of ``{"messages": [{"role": "user", "content": ...}, ...], "output_tokens": ...}``, as
  chat APIs take them; the number may lack, and is for the last turn.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from llm_benchmark.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = {"user", "human"}
SYSTEM = {"system", "developer"}
ASSISTANT = {"assistant", "gpt", "chatgpt", "bing", "bard"}


class Pair(NamedTuple):
    """One turn of a dialogue.

    Attributes:
        prompt: What the user says.
        answer: What was answered; empty where the file does not tell.
        output_tokens: Length of the answer in tokens; zero where the file does not tell.
    """

    prompt: str
    answer: str
    output_tokens: int


Dialogue = tuple[Pair, ...]


def read_dataset(path: Path) -> list[Dialogue]:
    """Read all dialogues that have a turn of the user.

    Raises:
        OptionError: The file cannot be read, an entry is none of the above, or none has a prompt.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OptionError(
            f"--dataset {path}: cannot be read ({error}); give a readable file"
        ) from error
    dialogues = [dialogue for dialogue in _dialogues(path, data) if dialogue]
    if not dialogues:
        raise OptionError(f"--dataset {path}: no entry has a prompt; give some")
    return dialogues


def _dialogues(path: Path, data: bytes) -> Iterator[Dialogue]:
    for place, entry in _entries(path, data):
        try:
            yield _dialogue(entry)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise OptionError(
                f"--dataset {path}: {place} is no dialogue ({error!r}); give ShareGPT's"
                ' conversations, or lines with "prompt" or "messages"'
            ) from error


def _entries(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    if data.lstrip().startswith(b"["):
        try:
            entries = orjson.loads(data)
        except ValueError as error:
            raise OptionError(f"--dataset {path}: is no JSON ({error}); mend it") from error
        for number, entry in enumerate(entries, 1):
            yield f"entry {number}", entry
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", orjson.loads(line)
            except ValueError as error:
                raise OptionError(
                    f"--dataset {path}: line {number} is no JSON ({error}); mend or remove it"
                ) from error


def _dialogue(entry: dict[str, Any]) -> Dialogue:
    tokens = entry.get("output_tokens") or 0
    if not isinstance(tokens, int) or tokens < 0:
        raise ValueError(f"output_tokens is {tokens!r}")
    if "prompt" in entry:
        said = [("user", _text(entry["prompt"])), ("assistant", _text(entry.get("completion")))]
    elif "conversations" in entry:
        said = [(one["from"], _text(one["value"])) for one in entry["conversations"]]
    else:
        said = [(one["role"], _text(one.get("content"))) for one in entry["messages"]]
    pairs = list(_pairs(said))
    return (*pairs[:-1], pairs[-1]._replace(output_tokens=tokens)) if pairs else ()


def _text(value: Any) -> str:
    """Return a text; null, as chat APIs write for none, is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _pairs(said: list[tuple[str, str]]) -> Iterator[Pair]:
    """Give the user's turns, each with the answer that follows; what a system says comes first."""
    before = ""
    for (role, text), (next_role, next_text) in pairwise([*said, ("", "")]):
        if role in SYSTEM and text.strip():
            before += text + "\n\n"
        elif role in USER and text.strip():
            answer = next_text if next_role in ASSISTANT and next_text.strip() else ""
            yield Pair(before + text, answer, 0)
            before = ""
