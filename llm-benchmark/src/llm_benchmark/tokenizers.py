"""What a token is: how texts of an exact number of tokens are made, and how texts are counted.

Counted is the user's text alone: the tokens that a server adds, such as a chat template's or a
beginning-of-sequence token, are in the server's count only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from llm_benchmark.errors import OptionError
from llm_benchmark.seeding import generator
from llm_benchmark.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MOST_PIECES = 4096
LEAST_PIECES = 16
TRIALS = 200
LONGEST_TRIAL = 200
FITS = 100


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A way to split text.

    Attributes:
        name: How the option names it.
        count: Returns the tokens of a text.
        pieces: Texts of one token each, most with a blank in front.
        additive: Whether pieces joined, without blanks in front of the first, are as many tokens.
    """

    name: str
    count: Callable[[str], int]
    pieces: Sequence[str]
    additive: bool = True

    def join(self, picks: NDArray[Any]) -> str:
        """Return the text of the pieces with these numbers, shape (tokens,): as many tokens.

        Raises:
            OptionError: Pieces do not add up, and no text of so many tokens was found.
        """
        pieces = self.pieces
        chosen = [pieces[pick] for pick in picks.tolist()]
        return "".join(chosen).lstrip() if self.additive else self._fitted(chosen)

    def _fitted(self, chosen: list[str]) -> str:
        """Cut or extend the end until the text has as many tokens as pieces were chosen.

        By half of the difference each time: pieces of two tokens each would else go to and fro.
        """
        wanted = len(chosen)
        rng = generator(0, "fitting", wanted)
        for _ in range(FITS):
            text = "".join(chosen).lstrip()
            missing = wanted - self.count(text)
            if not missing:
                return text
            if missing > 0:
                more = rng.integers(0, len(self.pieces), (missing + 1) // 2).tolist()
                chosen = chosen + [self.pieces[pick] for pick in more]
            else:
                # Some more, so that another end is tried each time.
                chosen = chosen[: missing // 2 - int(rng.integers(0, 4))]
        raise OptionError(
            f"--tokenizer {self.name}: found no text of exactly {wanted} tokens in {FITS} tries;"
            " use words or bytes, or give prompts by --dataset"
        )


def load_tokenizer(text: str) -> Tokenizer:
    """Return a tokenizer.

    Args:
        text: ``words``: a common English word is a token, which is about right for most models;
            ``bytes``: a byte of UTF-8 is a token, which is exact for models without a vocabulary;
            else a folder with the ``tokenizer.json`` of a Hugging Face model.

    Raises:
        OptionError: There is no such folder, it cannot be used, or the package tokenizers lacks.
    """
    if text == "words":
        return Tokenizer("words", lambda one: len(one.split()), [f" {word}" for word in WORDS])
    if text == "bytes":
        return Tokenizer("bytes", lambda one: len(one.encode()), ascii_lowercase)
    path = Path(text) / "tokenizer.json"
    if not path.is_file():
        raise OptionError(
            f"--tokenizer {text}: there is no {path}; give words, bytes, or the folder of a model"
        )
    return _from_hugging_face(text, path)


def _from_hugging_face(name: str, path: Path) -> Tokenizer:
    try:
        import tokenizers
    except ImportError as error:
        raise OptionError(
            f"--tokenizer {name}: needs the package tokenizers; install rca-llm[tokenizer]"
        ) from error
    try:
        model = tokenizers.Tokenizer.from_file(str(path))
        # Some models' files cut or fill up what is encoded, to the length that the model takes.
        model.no_truncation()
        model.no_padding()
    except Exception as error:
        raise OptionError(f"--tokenizer {name}: {path} cannot be read ({error})") from error

    def count(text: str) -> int:
        return len(model.encode(text, add_special_tokens=False).ids)

    words = _words(model, count)
    if len(words) < LEAST_PIECES:
        raise OptionError(
            f"--tokenizer {name}: fewer than {LEAST_PIECES} words of its vocabulary are one token"
            " each, so no prompt can be made to measure; use words or bytes, or give prompts by"
            " --dataset"
        )
    pieces = _additive_pieces(words, count)
    if pieces is None:
        return Tokenizer(name, count, [f" {word}" for word in words], additive=False)
    return Tokenizer(name, count, pieces)


def _words(model: Any, count: Callable[[str], int]) -> list[str]:
    """Return words of the vocabulary that are one token each, in a fixed disorder."""
    texts = {model.decode([number]).strip() for number in range(model.get_vocab_size())}
    words = sorted(text for text in texts if text.isascii() and text.isalpha())
    generator(0, "pieces").shuffle(words)
    return list(islice((word for word in words if count(word) == 1), MOST_PIECES))


def _additive_pieces(words: list[str], count: Callable[[str], int]) -> list[str] | None:
    """Return words that stay one token when joined, by blanks or else by nothing; None: too few."""
    for blank in (" ", ""):
        stay = (blank + word for word in words if count(f"{word}{blank}{word}") == 2)
        pieces = list(stay)
        if len(pieces) >= LEAST_PIECES and _adds_up(pieces, count):
            return pieces
    return None


def _adds_up(pieces: list[str], count: Callable[[str], int]) -> bool:
    """Tell whether joined pieces are always as many tokens as pieces, by many trials."""
    rng = generator(0, "trials")
    for _ in range(TRIALS):
        picks = rng.integers(0, len(pieces), rng.integers(1, LONGEST_TRIAL, endpoint=True))
        if count("".join(pieces[pick] for pick in picks.tolist()).lstrip()) != len(picks):
            return False
    return True
