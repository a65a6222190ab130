#!/usr/bin/env python3
"""Asks transformers' CLIPTokenizerFast for the ids of some prompts -> tokenizer.json.

CLIP's whole vocabulary has megabytes. Merges that can apply to a word join parts of that word, so the
merges whose result occurs in one of the prompts give the same ids: only these are written, with
their real ids -> clip_vocab.json, clip_merges.txt.
"""

import gzip
import json
import tempfile
from importlib.metadata import distribution, version
from pathlib import Path

from transformers import CLIPTokenizerFast

HERE = Path(__file__).resolve().parent
DEFAULT_MODEL = HERE.parent.parent / "models" / "default" / "model" / "tokenizer"
START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_MERGES = 49152 - 256 - 2
CLIP_LENGTH = 77

PROMPTS = [
    "",
    "a red apple",
    "A Photo of an ASTRONAUT riding a horse on mars",
    "  many   spaces\tand\nlines  ",
    "it's the dog's, they'll've been we'd I'm 're",
    "1234567890 3.14 x2",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m",
    "\u30ea\u30f3\u30b4 \u82f9\u679c \u044f\u0431\u043b\u043e\u043a\u043e \u062a\u0641\u0627\u062d",
    "\U0001f34e emoji \U0001f468\u200d\U0001f680",
    "(masterpiece:1.2), [best] {quality}!!! -- <lora>",
    "x" * 200,
    "word " * 100,
    "a picture <|endoftext|> with <|startoftext|> inside",
    "\u0130stanbul \u1e9e \ufb01ligree \u00b2",
    "\x00\x01control\x7f",
]


def byte_characters():
    """The printable stand-ins of the 256 bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(rest))]


def clip_vocabulary():
    # Not imported: the package wants torchvision.
    packed = distribution("open-clip-torch").locate_file("open_clip/bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")
    merges = [line.split() for line in lines[1 : CLIP_MERGES + 1]]
    characters = byte_characters()
    tokens = characters + [c + "</w>" for c in characters] + ["".join(m) for m in merges] + [START, END]
    return {token: id for id, token in enumerate(tokens)}, merges


def write(folder, vocab, merges):
    (folder / "vocab.json").write_text(json.dumps(vocab))
    text = "#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in merges)
    (folder / "merges.txt").write_text(text)


def ids(tokenizer, length):
    encode = lambda prompt: tokenizer(prompt, padding="max_length", truncation=True, max_length=length)
    return [{"prompt": prompt, "ids": encode(prompt).input_ids} for prompt in PROMPTS]


def main():
    vocab, merges = clip_vocabulary()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), vocab, merges)
        clip = CLIPTokenizerFast(f"{folder}/vocab.json", f"{folder}/merges.txt")
    clip_ids = ids(clip, CLIP_LENGTH)

    backend = clip.backend_tokenizer
    words = set()
    for prompt in PROMPTS:
        normal = backend.normalizer.normalize_str(prompt)
        words |= {word + "</w>" for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)}
    reached = [m for m in merges if any("".join(m) in word for word in words)]
    base = {token for token in vocab if vocab[token] < 512} | {START, END}
    needed = base | {"".join(m) for m in reached}
    small = {token: id for token, id in vocab.items() if token in needed}
    (HERE / "clip_vocab.json").write_text(json.dumps(small, ensure_ascii=False) + "\n")
    lines = "".join(" ".join(m) + "\n" for m in reached)
    (HERE / "clip_merges.txt").write_text("#version: 0.2\n" + lines)

    default = CLIPTokenizerFast(str(DEFAULT_MODEL / "vocab.json"), str(DEFAULT_MODEL / "merges.txt"))
    length = json.loads((DEFAULT_MODEL / "tokenizer_config.json").read_text())["model_max_length"]
    reference = {
        "made_by": {name: version(name) for name in ("transformers", "tokenizers", "open-clip-torch")},
        "clip": clip_ids,
        "default_model": ids(default, length),
    }
    (HERE / "tokenizer.json").write_text(json.dumps(reference, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
