"""What is asked: the same text every time, or words drawn at random.

A synthetic prompt of N words is about N tokens: the words are short and so common that most
tokenizers give each a token of its own. The true number is the server's, in every record; a chat
template adds its own tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_benchmark.errors import OptionError
from llm_benchmark.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    # The text to ask in request i.
    Prompt = Callable[[int], str]

_COMMON = (
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water been "
    "call who oil its now find long down day did get come made may part over new sound take only "
    "little work know place year live me back give most very after thing our just name good man "
    "think say great where help through much before line right too mean old any same tell boy "
    "follow came want show also around form three small set put end does another well large must "
    "big even such because turn here why ask went men read need land different home us move try "
    "kind hand picture again change off play spell air away animal house point page letter mother "
    "answer found study still learn should world high every near add food between own below "
    "country plant last school father keep tree never start city earth eye light thought head under"
)
WORDS = _COMMON.split()


def synthetic(words: int, seed: int) -> Prompt:
    """Return prompts of ``words`` random common English words, different for every request.

    Args:
        words: Words in each prompt, above zero.
        seed: The run's seed.

    Returns:
        A function from the request's index to its prompt.
    """

    def prompt(index: int) -> str:
        picks = generator(seed, "prompts", index).integers(0, len(WORDS), words)
        return " ".join(WORDS[pick] for pick in picks.tolist())

    return prompt


def literal(argument: str) -> Prompt:
    """Return the same prompt for every request.

    Args:
        argument: The text, or ``@`` and the path of a UTF-8 file that holds it.

    Returns:
        A function from the request's index to the text.

    Raises:
        OptionError: The file cannot be read as text, or the prompt is blank.
    """
    text = _read(Path(argument[1:])) if argument.startswith("@") else argument
    if not text.strip():
        raise OptionError(f"--prompt {argument}: the prompt is blank; give it some text")
    return lambda _index: text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"--prompt @{path}: cannot read the file as text ({error}); give a UTF-8 text file"
        ) from error
