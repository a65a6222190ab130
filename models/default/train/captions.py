"""Captions of the pictures, and a CLIP-format tokenizer with a vocabulary made of them."""

import json
from pathlib import Path

import numpy as np

LENGTH = 24  # tokens of a prompt, with start, end and padding
MERGES = 1534  # for a vocabulary of 256 bytes, 256 bytes at a word's end, the merges and two ends
START, END = "<|startoftext|>", "<|endoftext|>"

# caption, how often it is used
TEMPLATES = (
    ("{name}", 1.0),
    ("{a} {name}", 1.5),
    ("{a} {name}, {style} style", 2.0),
    ("{name}, {style} style", 1.5),
    ("an emoji of {a} {name}", 1.0),
    ("a picture of {a} {name}, {style} style", 1.5),
    ("{a} {name} icon, {style} style", 1.0),
    ("the {name}", 0.5),
)
# Words that prompts have and names lack.
EXTRA_WORDS = (
    "a cute small big large little tiny yellow blue purple pink orange white black brown gray golden "
    "in on under with of and the at riding eating wearing holding style noto flat emoji icon picture"
)


def article(name):
    return "an" if name[0] in "aeiou" else "a"


def captions(name, style):
    return [text.format(name=name, a=article(name), style=style) for text, _ in TEMPLATES]


def byte_characters():
    """The printable stand-ins of the 256 bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def build_tokenizer(names, folder):
    """Learns merges of the names and writes the tokenizer's files; returns the vocabulary's size."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2400,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(names) * 2 + [EXTRA_WORDS] * 20, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in learned][:MERGES]

    characters = byte_characters()
    tokens = characters + [c + "</w>" for c in characters]
    tokens += [merge.replace(" ", "") for merge in merges] + [START, END]
    vocab = {token: id for id, token in enumerate(dict.fromkeys(tokens))}

    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1))
    return len(vocab)


def load_tokenizer(folder):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer, texts):
    ids = tokenizer(list(texts), padding="max_length", truncation=True, max_length=LENGTH).input_ids
    return np.array(ids, dtype=np.int64)
