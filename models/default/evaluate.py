#!/usr/bin/env python3
"""Measures whether the default model's pictures show what their prompts say.

    evaluate.py prompts ICONS PROMPTS.txt     100 prompts of trained names, drawn with a fixed seed
    evaluate.py score ICONS PROMPTS.txt DIR   how many of DIR's pictures (0.png, 1.png, ...) are nearest,
                                              of all training pictures, to the one of their own name
    evaluate.py thumbnails ICONS OUT.json     8x8 training pictures of some names, for the engine's tests

The pictures come from the engine, not from here:

    cargo run --release -p cuckoo-diffusion --example pictures -- models/default/model PROMPTS.txt DIR

ICONS is the unpacked npm package @iconify-json/fluent-emoji-flat. Needs numpy, pillow and resvg_py.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent / "train"))
from captions import article
from data import icons

PROMPTS = 100
SEED = 11
THUMBNAIL_SIDE = 8
THUMBNAIL_PROMPTS = (
    "a red apple",
    "a fox",
    "a pizza",
    "a rocket",
    "a sunflower",
    "a green apple",
    "a red heart",
    "a hamburger",
    "a taxi",
    "a penguin",
    "a frog",
    "a blue book",
)


def training_pictures(folder):
    names, pictures = zip(*icons(Path(folder)))
    return list(names), np.stack(pictures).astype(np.float32)


def prompt(name):
    return f"{article(name)} {name}"


def write_prompts(folder, output):
    names, _ = training_pictures(folder)
    chosen = np.random.RandomState(SEED).choice(len(names), PROMPTS, replace=False)
    Path(output).write_text("".join(prompt(names[i]) + "\n" for i in chosen))


def score(folder, prompts, made):
    names, pictures = training_pictures(folder)
    wanted = Path(prompts).read_text().splitlines()
    flat = pictures.reshape(len(pictures), -1)
    ranks = []
    for number, text in enumerate(wanted):
        ours = np.asarray(Image.open(Path(made) / f"{number}.png").convert("RGB"), np.float32)
        order = ((flat - ours.reshape(1, -1)) ** 2).sum(1).argsort(kind="stable")
        ranks.append([prompt(names[i]) for i in order].index(text))
    ranks = np.array(ranks)
    print("pictures", len(ranks), "candidates", len(names))
    for number, rank in enumerate(ranks):
        if rank > 0:
            print(f"missed: {wanted[number]} (rank {rank + 1})")
    print(f"figure: retrieval_top1 {100 * (ranks == 0).mean():.1f} percent")
    print(f"figure: retrieval_top5 {100 * (ranks < 5).mean():.1f} percent")


def write_thumbnails(folder, output):
    names, pictures = training_pictures(folder)
    by_prompt = {prompt(name): picture for name, picture in zip(names, pictures)}
    block = pictures.shape[1] // THUMBNAIL_SIDE
    thumbnails = []
    for text in THUMBNAIL_PROMPTS:
        blocks = by_prompt[text].reshape(THUMBNAIL_SIDE, block, THUMBNAIL_SIDE, block, 3)
        thumbnails.append([text, blocks.mean((1, 3)).round(1).ravel().tolist()])
    content = {"source": "@iconify-json/fluent-emoji-flat (MIT)", "thumbnails": thumbnails}
    Path(output).write_text(json.dumps(content) + "\n")


COMMANDS = {"prompts": (write_prompts, 2), "score": (score, 3), "thumbnails": (write_thumbnails, 2)}


def main():
    command, arguments = sys.argv[1:2], sys.argv[2:]
    if not command or command[0] not in COMMANDS or len(arguments) != COMMANDS[command[0]][1]:
        sys.exit(__doc__)
    COMMANDS[command[0]][0](*arguments)


if __name__ == "__main__":
    main()
