"""What is asked: conversations of one turn or more, by their index in the schedule.

Conversation i is the same whoever asks for it and whatever was asked before, so that a run may be
cut into shards. What is random is drawn for blocks of neighbours, which costs a tenth of drawing
for each alone; texts are joined when they are asked for, so that no request pays for its
neighbours. A prompt of 64 words takes 4 us, and 12 us where a shard asks for every 8th.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from llm_benchmark.errors import OptionError
from llm_benchmark.seeding import generator
from llm_benchmark.traces import BLOCK_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llm_benchmark.datasets import Dialogue
    from llm_benchmark.distributions import Distribution
    from llm_benchmark.tokenizers import Tokenizer

BLOCK = 64
BLOCKS_KEPT = 4
PREFIXES_KEPT = 4096
COUNTS_KEPT = 2**16
# Tokens of a block; with more, the block would hold up the request that happens to need it first.
DRAWN_TOGETHER = 2**15


class Turn(NamedTuple):
    """One request of a conversation.

    Attributes:
        text: What the user says.
        prompt_tokens: Tokens of it, as the tokenizer counts them.
        output_tokens: Tokens to ask for.
    """

    text: str
    prompt_tokens: int
    output_tokens: int


class _Shape(NamedTuple):
    """A conversation without its words: its group, and the tokens of each turn and answer."""

    group: int
    lengths: list[int]
    outputs: list[int]


# The conversation with this index.
Content = Callable[[int], tuple[Turn, ...]]


def synthetic(
    tokenizer: Tokenizer,
    prompt_tokens: Distribution,
    output_tokens: Distribution,
    turns: Distribution,
    seed: int,
    *,
    prefix_tokens: int = 0,
    prefix_groups: int = 1,
) -> Content:
    """Return conversations of random words with exactly the drawn number of tokens.

    Args:
        tokenizer: What a token is.
        prompt_tokens: Tokens of the user's text in each turn.
        output_tokens: Tokens to ask for in each turn.
        turns: Turns of each conversation.
        seed: The run's seed.
        prefix_tokens: Tokens put before the first turn's text, the same for all conversations of a
            group: what a server's prefix cache can keep.
        prefix_groups: Number of groups; each conversation belongs to one at random.
    """
    pieces = len(tokenizer.pieces)

    @lru_cache(PREFIXES_KEPT)
    def prefix(group: int) -> NDArray[np.uint16]:
        return _picks(generator(seed, "prefixes", group), pieces, prefix_tokens)

    @lru_cache(BLOCKS_KEPT)
    def block(number: int) -> tuple[list[_Shape], Callable[[int], NDArray[np.uint16]]]:
        rng = generator(seed, "prompts", number)
        groups = rng.integers(0, prefix_groups, BLOCK).tolist()
        ends = np.cumsum(turns.draw(rng, BLOCK)).tolist()
        lengths = prompt_tokens.draw(rng, ends[-1]).tolist()
        outputs = output_tokens.draw(rng, ends[-1]).tolist()
        shapes = [
            _Shape(group, lengths[begin:end], outputs[begin:end])
            for group, (begin, end) in zip(groups, pairwise([0, *ends]), strict=True)
        ]
        return shapes, _words(seed, number, pieces, [sum(shape.lengths) for shape in shapes])

    def conversation(index: int) -> tuple[Turn, ...]:
        shapes, words = block(index // BLOCK)
        group, lengths, outputs = shapes[index % BLOCK]
        picks = words(index % BLOCK)
        if prefix_tokens:
            picks = np.concatenate([prefix(group), picks])
            lengths = [prefix_tokens + lengths[0], *lengths[1:]]
        said, begin = [], 0
        for length, output in zip(lengths, outputs, strict=True):
            said.append(Turn(tokenizer.join(picks[begin : begin + length]), length, output))
            begin += length
        return tuple(said)

    return conversation


def of_lengths(
    tokenizer: Tokenizer,
    prompt_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    seed: int,
    hash_ids: Sequence[Sequence[int]] | None = None,
) -> Content:
    """Return random words of known lengths, as a trace has them.

    Args:
        tokenizer: What a token is.
        prompt_tokens: Tokens of each prompt, shape (requests,).
        output_tokens: Tokens to ask for, shape (requests,).
        seed: The run's seed.
        hash_ids: For each request the ids of its prompt's blocks of ``traces.BLOCK_TOKENS`` tokens:
            equal ids are equal texts. What the ids do not cover is the request's own.
    """
    pieces = len(tokenizer.pieces)

    ids = [()] * len(prompt_tokens) if hash_ids is None else hash_ids
    covered = np.array([len(one) for one in ids]) * BLOCK_TOKENS
    own_tokens = np.maximum(prompt_tokens - covered, 0).tolist()

    @lru_cache(PREFIXES_KEPT)
    def shared(identity: int) -> NDArray[np.uint16]:
        return _picks(generator(seed, "blocks", identity), pieces, BLOCK_TOKENS)

    @lru_cache(BLOCKS_KEPT)
    def block(number: int) -> Callable[[int], NDArray[np.uint16]]:
        begin = number * BLOCK
        return _words(seed, number, pieces, own_tokens[begin : begin + BLOCK])

    def conversation(index: int) -> tuple[Turn, ...]:
        tokens = int(prompt_tokens[index])
        picks = block(index // BLOCK)(index % BLOCK)
        if ids[index]:
            blocks = [shared(identity) for identity in ids[index]]
            picks = np.concatenate([*blocks, picks])[:tokens]
        return (Turn(tokenizer.join(picks), tokens, int(output_tokens[index])),)

    return conversation


def literal(argument: str, tokenizer: Tokenizer, output_tokens: Distribution, seed: int) -> Content:
    """Return the same prompt every time.

    Args:
        argument: The text, or ``@`` and the path of a UTF-8 file that holds it.
        tokenizer: Counts its tokens.
        output_tokens: Tokens to ask for.
        seed: The run's seed.

    Raises:
        OptionError: The file cannot be read as text, or the prompt is blank.
    """
    text = _read(Path(argument[1:])) if argument.startswith("@") else argument
    if not text.strip():
        raise OptionError(f"--prompt {argument}: the prompt is blank; give it some text")
    tokens = tokenizer.count(text)
    outputs = _by_index(output_tokens, seed)
    return lambda index: (Turn(text, tokens, outputs(index)),)


def from_dialogues(
    dialogues: Sequence[Dialogue],
    tokenizer: Tokenizer,
    output_tokens: Distribution | None,
    turns: Distribution,
    seed: int,
) -> Content:
    """Return dialogues in an order that the seed decides, again and again when they are used up.

    Args:
        dialogues: What people have said, each with one turn at least.
        tokenizer: Counts tokens.
        output_tokens: Tokens to ask for; None asks for as many as the data tell, or the answer has.
        turns: Turns of each conversation at most.
        seed: The run's seed.

    Raises:
        OptionError: The number of tokens is left to the data, and they do not tell it.
    """
    if output_tokens is None and not all(
        pair.output_tokens or pair.answer for dialogue in dialogues for pair in dialogue
    ):
        raise OptionError(
            "--dataset: some prompts have no answer to take a length from; give --output-tokens"
        )
    order = generator(seed, "dataset").permutation(len(dialogues))
    limits = _by_index(turns, seed, "turns")
    outputs = None if output_tokens is None else _by_index(output_tokens, seed)
    longest = max(len(dialogue) for dialogue in dialogues)
    # A data set is often asked many times over, and counting takes most of the time.
    count = lru_cache(COUNTS_KEPT)(tokenizer.count)

    def conversation(index: int) -> tuple[Turn, ...]:
        dialogue = dialogues[order[index % len(order)]]
        return tuple(
            Turn(
                pair.prompt,
                count(pair.prompt),
                outputs(index * longest + place)
                if outputs
                else pair.output_tokens or count(pair.answer),
            )
            for place, pair in enumerate(dialogue[: limits(index)])
        )

    return conversation


def _by_index(law: Distribution, seed: int, purpose: str = "outputs") -> Callable[[int], int]:
    if law.constant is not None:
        value = law.constant
        return lambda _index: value

    @lru_cache(BLOCKS_KEPT)
    def block(number: int) -> list[int]:
        drawn: list[int] = law.draw(generator(seed, purpose, number), BLOCK).tolist()
        return drawn

    return lambda index: block(index // BLOCK)[index % BLOCK]


def _words(
    seed: int, number: int, pieces: int, lengths: Sequence[int]
) -> Callable[[int], NDArray[np.uint16]]:
    """Return what gives the words of each conversation of a block, by its place in the block."""
    if sum(lengths) <= DRAWN_TOGETHER:
        picks = _picks(generator(seed, "words of a block", number), pieces, sum(lengths))
        begins = [0, *accumulate(lengths)]
        return lambda place: picks[begins[place] : begins[place + 1]]
    return lambda place: _picks(
        generator(seed, "words", number * BLOCK + place), pieces, lengths[place]
    )


def _picks(rng: np.random.Generator, pieces: int, count: int) -> NDArray[np.uint16]:
    return rng.integers(0, pieces, count, dtype=np.uint16)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"--prompt @{path}: cannot read the file as text ({error}); give a UTF-8 text file"
        ) from error
