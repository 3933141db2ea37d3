"""Make a tiny random Llama and its tokenizer: a real model for vLLM without a model hub.

The weights are random (seeded), so the text it writes is noise, but every part of a request is
real: tokenising, scheduling, attention, KV cache, sampling, streaming. Two things are arranged by
hand so that load is exact and every token is visible text: the end-of-sequence token and all tokens
that are not whole ASCII text get a logit far below the others, so that an answer has exactly
`max_tokens` tokens and each of them is one piece of readable text.

Usage: python make_tiny_model.py --out DIR [--layers 4 --hidden 256 --seed 0]
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "<s>{% for m in messages %}<|{{ 'user' if m['role'] != 'assistant' else 'assistant' }}|>"
    "{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = """
When a service slows down somebody has to find out which part of it is to blame and why it is slow.
A request enters at the proxy, waits in a queue, is placed on a replica, and then the engine works
on it one step at a time: first the whole prompt, then one token after another until the answer is
done. The time to the first token tells how long it waited and how long the prompt took; the time
between tokens tells how fast the engine runs. If memory is short, requests wait for free blocks in
the cache. If the network is slow, every piece of the answer arrives late although the engine was
quick. If the processor is busy with other work, each step takes longer, the queue grows, and users
notice it soon.
""".strip()


def train_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on the corpus above: any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS.splitlines(),
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    unknown, begin, end = SPECIAL_TOKENS[:3]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin, eos_token=end
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def unwanted_tokens(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Token ids that must not be generated: special tokens and what is no printable ASCII."""
    return [
        index
        for index in range(len(tokenizer))
        if index in tokenizer.all_special_ids
        or index < len(SPECIAL_TOKENS)
        or not (tokenizer.decode([index]).isascii() and tokenizer.decode([index]).isprintable())
    ]


def build_model(tokenizer: PreTrainedTokenizerFast, layers: int, hidden: int) -> LlamaForCausalLM:
    """Build the random model; hidden dimension 0 is a constant that carries the logit offset.

    No layer writes to dimension 0 of the residual stream (its output rows are zero), so it keeps
    the sign that the embedding gave it and a large negative weight there suppresses a token.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 128),
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[unwanted_tokens(tokenizer), 0] = -100.0
    return model.to(torch.bfloat16)


def main() -> None:
    """Write the model and its tokenizer to a folder that appears whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    tokenizer = train_tokenizer(args.vocabulary)
    model = build_model(tokenizer, args.layers, args.hidden)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as scratch:
        folder = Path(scratch) / "model"
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        recipe = {name: value for name, value in vars(args).items() if name != "out"}
        (folder / "recipe.json").write_text(json.dumps(recipe, sort_keys=True) + "\n")
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors writes for its owner only
        if args.out.exists():
            shutil.rmtree(args.out)
        folder.rename(args.out)
    print(f"{args.out}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
