from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llm_benchmark.errors import OptionError
from llm_benchmark.tokenizers import Tokenizer, load_tokenizer
from llm_benchmark.words import WORDS

if TYPE_CHECKING:
    from pathlib import Path

tokenizers = pytest.importorskip("tokenizers", reason="the extra 'tokenizer' is not installed")
TEXT = [" ".join(WORDS[start : start + 20]) for start in range(0, len(WORDS), 5)] * 20


def byte_level_bpe(vocabulary: int) -> Any:
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(TEXT, trainer)
    return model


def sentence_pieces() -> Any:
    model = tokenizers.Tokenizer(tokenizers.models.Unigram())
    model.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    model.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=400, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    model.train_from_iterator(TEXT, trainer)
    return model


def word_pieces() -> Any:
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=["[UNK]"], show_progress=False
    )
    model.train_from_iterator(TEXT, trainer)
    return model


def words_that_merge() -> Any:
    """Return a model with tokens of several words, so that joined pieces do not add up."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=list("abcdefghijklmnopqrstuvwxyz "), show_progress=False
    )
    model.train_from_iterator(TEXT, trainer)
    return model


KINDS = {
    "byte-level BPE": lambda: byte_level_bpe(900),
    "bytes alone": lambda: byte_level_bpe(257),
    "Unigram": sentence_pieces,
    "WordPiece": word_pieces,
    "tokens of several words": words_that_merge,
}


@pytest.fixture(params=["words", "bytes", *KINDS])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param not in KINDS:
        return load_tokenizer(request.param)
    KINDS[request.param]().save(str(tmp_path / "tokenizer.json"))
    return load_tokenizer(str(tmp_path))


def test_joined_pieces_are_exactly_as_many_tokens(tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(4)
    for length in [*range(1, 60), 500, 2000]:
        text = tokenizer.join(rng.integers(0, len(tokenizer.pieces), length))
        assert tokenizer.count(text) == length
        assert text == text.strip()


def test_a_text_is_fitted_where_joined_words_do_not_add_up(tmp_path: Path) -> None:
    words_that_merge().save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path))
    assert not tokenizer.additive
    picks = np.arange(100) % len(tokenizer.pieces)
    text = tokenizer.join(picks)
    assert tokenizer.count(text) == 100 != tokenizer.count("".join(tokenizer.pieces[:100]))
    assert tokenizer.join(picks) == text


def test_a_length_that_no_text_has_is_refused() -> None:
    tokenizer = Tokenizer("pairs", lambda text: 2 * len(text.split()), [" a", " b"], additive=False)
    with pytest.raises(OptionError, match=r"--tokenizer pairs: found no text of exactly 3 tokens"):
        tokenizer.join(np.array([0, 1, 0]))


def test_the_length_that_a_model_takes_does_not_cap_the_count(tmp_path: Path) -> None:
    model = byte_level_bpe(900)
    model.enable_truncation(64)
    model.enable_padding(length=64)
    model.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.count("the") == 1
    assert tokenizer.count(tokenizer.join(np.zeros(200, np.uint16))) == 200


def test_a_missing_package_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OptionError, match=r"needs the package tokenizers; install rca-llm\["):
        load_tokenizer(str(tmp_path))


def test_bytes_are_counted_not_letters() -> None:
    assert load_tokenizer("bytes").count("Grüße") == 7


def test_the_words_are_distinct_and_lower_case() -> None:
    assert len(WORDS) == len(set(WORDS)) >= 200
    assert all(word.isalpha() and word.islower() for word in WORDS)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--tokenizer .*: there is no .*tokenizer\.json; give"):
        load_tokenizer(str(tmp_path))


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(OptionError, match="cannot be read"):
        load_tokenizer(str(tmp_path))


def test_a_vocabulary_without_words_is_refused(tmp_path: Path) -> None:
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"1": 0, "2": 1}, unk_token="1"))
    model.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(OptionError, match=r"fewer than 16 words .* are one token"):
        load_tokenizer(str(tmp_path))
