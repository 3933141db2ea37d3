"""The tiny model: the same seed gives the same bytes, and only plain text can be its answer."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "roles/model/files/make_tiny_model.py"
SIZE = ["--layers", "1", "--hidden", "128", "--vocabulary", "300"]
# Makes two more models, then asks the model in the first folder for the logits of every token.
CHECK = """
import json, runpy, sys
first, again, other, program, *size = sys.argv[1:]
sys.path.insert(0, program.rpartition("/")[0])
import make_tiny_model
for out, seed in ((again, "0"), (other, "1")):
    sys.argv = [program, "--out", out, "--seed", seed, *size]
    make_tiny_model.main()
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(first)
model = AutoModelForCausalLM.from_pretrained(first)
prompt = tokenizer("Is anything slow here?", return_tensors="pt").input_ids
every = torch.arange(len(tokenizer)).unsqueeze(0)
with torch.no_grad():
    logits = torch.cat([model(every).logits[0], model(prompt).logits[0]]).float()
print(json.dumps({
    "texts": [tokenizer.decode([index]) for index in range(len(tokenizer))],
    "special": tokenizer.all_special_ids,
    "highest": logits.max(dim=0).values.tolist(),
    "lowest": logits.min(dim=0).values.tolist(),
    "chat": tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True),
}))
"""

pytestmark = pytest.mark.slow


class Made(NamedTuple):
    """Three models, two of them of one seed, and what the first one says."""

    first: Path
    again: Path
    other: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def made(serve_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make the models in two processes, under a mask that hides new files from others."""
    folder = tmp_path_factory.mktemp("models")
    first, again, other = (folder / name for name in ("first", "again", "other"))
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    said = ""
    for arguments in (
        [PROGRAM, "--out", first, *SIZE],
        ["-c", CHECK, first, again, other, PROGRAM, *SIZE],
    ):
        command = [str(part) for part in (serve_python, *arguments)]
        done = subprocess.run(command, env=quiet, umask=0o077, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        said = done.stdout.splitlines()[-1]
    return Made(first, again, other, json.loads(said))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(made: Made) -> None:
    first = contents(made.first)
    assert {"config.json", "model.safetensors", "tokenizer.json", "recipe.json"} <= set(first)
    assert first == contents(made.again)


def test_another_seed_gives_another_model_with_the_same_tokenizer(made: Made) -> None:
    first, other = contents(made.first), contents(made.other)
    differing = {name for name in first if first[name] != other[name]}
    assert differing == {"model.safetensors", "recipe.json"}


def test_the_recipe_is_kept(made: Made) -> None:
    recipe = json.loads((made.first / "recipe.json").read_text())
    assert recipe == {"hidden": 128, "layers": 1, "seed": 0, "vocabulary": 300}


def test_everybody_may_read_the_model(made: Made) -> None:
    assert made.first.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in made.first.iterdir()} == {0o644}


def test_only_plain_text_tokens_can_win(made: Made) -> None:
    texts, special = made.said["texts"], set(made.said["special"])
    chat = {texts.index("<|user|>"), texts.index("<|assistant|>")}
    plain = {
        index
        for index, text in enumerate(texts)
        if text.isascii() and text.isprintable() and index not in special | chat
    }
    assert len(texts) == 300
    assert len(plain) > 100
    assert len(special) >= 3
    best_unwanted = max(made.said["highest"][index] for index in set(range(300)) - plain)
    worst_plain = min(made.said["lowest"][index] for index in plain)
    assert worst_plain - best_unwanted > 50


def test_no_plain_token_is_empty(made: Made) -> None:
    assert all(made.said["texts"])


def test_the_chat_template_frames_each_turn(made: Made) -> None:
    assert made.said["chat"] == "<s><|user|>hi<|assistant|>"
