"""Captions of the pictures, and a CLIP-format tokenizer with a vocabulary made of them."""

import collections
import json
import re
from pathlib import Path

import numpy as np

LENGTH = 24  # tokens of a prompt, with start, end and padding
MERGES = 1534  # for a vocabulary of 256 bytes, 256 bytes at a word's end, the merges and two ends
START, END = "<|startoftext|>", "<|endoftext|>"

# caption of a picture in its own colours, how often it is used
PLAIN = (
    ("{name}", 1.5),
    ("{a} {name}", 4.0),
    ("the {name}", 0.5),
    ("an emoji of {a} {name}", 1.0),
    ("a picture of {a} {name}", 1.0),
    ("{a} {name} icon", 0.5),
    ("{a} {name}, flat style", 1.0),
)
# of one in another colour
COLOURED = (
    ("{colour} {name}", 1.5),
    ("{a} {colour} {name}", 5.0),
    ("the {colour} {name}", 0.5),
    ("an emoji of {a} {colour} {name}", 0.5),
    ("a picture of {a} {colour} {name}", 1.0),
    ("{a} {colour} {name} icon", 0.5),
    ("{an} {name} in {colour}", 0.5),
    ("{a} {colour} {name}, flat style", 0.5),
)
# A colour's other words, used less often.
SYNONYMS = {"cyan": ("teal", "turquoise"), "gray": ("grey",), "purple": ("violet",)}
SYNONYM_CHANCE = 0.25
# How often a thing that has a short name is called by it.
SHORT_NAME_CHANCE = 0.4
# Words that prompts have and names lack, and words that must be one token.
EXTRA_WORDS = (
    "a an the in of emoji picture icon flat style red orange yellow green cyan blue purple pink brown "
    "black white gray grey teal turquoise violet cute small big large little tiny golden on under "
    "with and at riding eating wearing holding"
)


def article(name):
    return "an" if name[0] in "aeiou" else "a"


def draw_caption(random, colour, names):
    """One of the captions of a picture; random is NumPy's."""
    name = names[0]
    if len(names) > 1 and random.random() < SHORT_NAME_CHANCE:
        name = names[1 + random.integers(len(names) - 1)]
    templates = COLOURED if colour else PLAIN
    if colour in SYNONYMS and random.random() < SYNONYM_CHANCE:
        colour = SYNONYMS[colour][random.integers(len(SYNONYMS[colour]))]
    chances = np.array([chance for _, chance in templates])
    text, _ = templates[random.choice(len(templates), p=chances / chances.sum())]
    return text.format(name=name, a=article(colour or name), an=article(name), colour=colour)


def byte_characters():
    """The printable stand-ins of the 256 bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def learn_merges(texts):
    """Byte-pair encoding's merges, most frequent first and of equals the first in the alphabet;
    the `tokenizers` package takes equals in an order of its own, another one each time."""
    counts = collections.Counter(
        tuple(word[:-1]) + (word[-1] + "</w>",)
        for text in texts
        for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower())
    )
    words, merges = dict(counts), []
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(" ".join(best))
        merged = {}
        for word, count in words.items():
            parts, at = [], 0
            while at < len(word):
                joined = word[at : at + 2] == best
                parts.append("".join(best) if joined else word[at])
                at += 2 if joined else 1
            merged[tuple(parts)] = merged.get(tuple(parts), 0) + count
        words = merged
    return merges


def build_tokenizer(names, folder):
    """Learns merges of the names and writes the tokenizer's files."""
    merges = learn_merges([*names, *names, *[EXTRA_WORDS] * 20])
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


def load_tokenizer(folder):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer, texts):
    ids = tokenizer(list(texts), padding="max_length", truncation=True, max_length=LENGTH).input_ids
    return np.array(ids, dtype=np.int64)
