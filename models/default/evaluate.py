#!/usr/bin/env python3
"""Measures whether the default model's pictures show what their prompts say.

    evaluate.py names ICONS PROMPTS.txt      100 prompts of trained names, drawn with a fixed seed
    evaluate.py score ICONS PROMPTS.txt DIR  how many of DIR's pictures (0.png, 1.png, ...) are nearest,
                                             of all training pictures, to the one of their own name
    evaluate.py pairs PROMPTS.txt            the 40 pairs of a colour and a thing in held_out.txt
    evaluate.py score-pairs ICONS DIR [SHEET.png]
                                             in how many of DIR's pictures the thing is found by its
                                             shape, and the colour is the word's; and a sheet of them
    evaluate.py truth ICONS DIR              draws the pairs as the training pictures were recoloured:
                                             what score-pairs gives for them is the most there is
    evaluate.py thumbnails ICONS OUT.json    8x8 training pictures of some names, for the engine's tests

The pictures come from the engine, not from here:

    cargo run --release -p cuckoo-diffusion --example pictures -- models/default/model PROMPTS.txt DIR

ICONS is the unpacked npm package @iconify-json/fluent-emoji-flat. Needs numpy, pillow and resvg_py.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent / "train"))
import colours
import things
from captions import article
from data import SIZE, Icons

PROMPTS = 100
SEED = 11
SIDE = 64  # pictures of every size are compared at this one
TOP = 5
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
COLUMNS, MARGIN, CAPTION = 8, 6, 14


def training_pictures(folder, size=SIDE):
    icons = Icons(folder)
    return icons.names, np.stack([small(icons.draw(name), size) for name in icons.names])


def small(picture, size=SIDE):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return np.asarray(image.convert("RGB").resize((size, size), Image.BOX), np.float32)


def made_picture(folder, number):
    return Image.open(Path(folder) / f"{number}.png").convert("RGB")


def prompt(name):
    return f"{article(name)} {name}"


def write_names(folder, output):
    names = Icons(folder).names
    chosen = np.random.RandomState(SEED).choice(len(names), PROMPTS, replace=False)
    Path(output).write_text("".join(prompt(names[i]) + "\n" for i in chosen))


def figure(name, share):
    print(f"figure: {name} {100 * share:.1f} percent")


def score(folder, prompts, made):
    names, pictures = training_pictures(folder)
    wanted = Path(prompts).read_text().splitlines()
    flat = pictures.reshape(len(pictures), -1)
    ranks = []
    for number, text in enumerate(wanted):
        ours = small(made_picture(made, number)).reshape(1, -1)
        order = ((flat - ours) ** 2).sum(1).argsort(kind="stable")
        ranks.append([prompt(names[i]) for i in order].index(text))
    ranks = np.array(ranks)
    print("pictures", len(ranks), "candidates", len(names))
    for number, rank in enumerate(ranks):
        if rank > 0:
            print(f"missed: {wanted[number]} (rank {rank + 1})")
    figure("retrieval_top1", (ranks == 0).mean())
    figure("retrieval_top5", (ranks < TOP).mean())


def pair_prompts():
    return [prompt(f"{colour} {thing}") for colour, thing in things.held_out()]


def write_pairs(output):
    Path(output).write_text("".join(text + "\n" for text in pair_prompts()))


def icons_called(thing, names):
    """Icons of the thing: those of that name, or of that name and a colour."""
    found = [name for name in names if thing in things.plain_names(name)]
    return found + [n for n in names if (things.colour_in(n) or ("", ""))[1] == thing]


def shapes(pictures):
    """Lightness of the pixels, with mean 0 and length 1: brighter or darker is the same shape."""
    gray = colours.to_lch(pictures / 255)[..., 0].reshape(len(pictures), -1)
    gray = gray - gray.mean(1, keepdims=True)
    return gray / np.maximum(np.linalg.norm(gray, axis=1, keepdims=True), 1e-9)


def score_pairs(folder, made, sheet=None):
    names, pictures = training_pictures(folder)
    known = shapes(pictures)
    results = []
    for number, (colour, thing) in enumerate(things.held_out()):
        picture = small(made_picture(made, number))
        order = (known @ shapes(picture[None])[0]).argsort(kind="stable")[::-1]
        found = [names[i] for i in order]
        rank = min(found.index(name) for name in icons_called(thing, names))
        results.append((rank, colours.fits(picture, colour)))
        if rank >= TOP or not results[-1][1]:
            why = [f"shape: rank {rank + 1}, nearest {found[0]}"] if rank >= TOP else []
            if not results[-1][1]:
                share, hue, lightness, grays = colours.measure_colour(picture)
                why.append(
                    f"colour: {100 * share:.0f}% colourful, hue {hue:.0f}, lightness {lightness:.2f}, "
                    f"of grays {grays:.2f}"
                )
            print(f"missed: {colour} {thing} ({'; '.join(why)})")
    ranks, right = np.array([r for r, _ in results]), np.array([c for _, c in results])
    print("pictures", len(ranks), "candidates", len(names))
    figure("pairs_shape_top1", (ranks == 0).mean())
    figure("pairs_shape_top5", (ranks < TOP).mean())
    figure("pairs_colour", right.mean())
    figure("pairs_both", ((ranks < TOP) & right).mean())
    if sheet:
        write_sheet(made, [f"{c} {t}" for c, t in things.held_out()], sheet)


def write_sheet(made, texts, output):
    cell = SIZE + MARGIN
    rows = -(-len(texts) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * cell, rows * (cell + CAPTION)), "white")
    drawing = ImageDraw.Draw(image)
    for number, text in enumerate(texts):
        left, top = number % COLUMNS * cell, number // COLUMNS * (cell + CAPTION)
        picture = made_picture(made, number)
        if picture.width != SIZE:
            picture = picture.resize((SIZE, SIZE), Image.NEAREST)
        image.paste(picture, (left + MARGIN // 2, top + MARGIN // 2))
        place = (left + cell // 2, top + cell)
        drawing.text(place, text, fill=(64, 64, 64), anchor="mt")
    image.save(output, optimize=True)


def write_truth(folder, output):
    icons = Icons(folder)
    Path(output).mkdir(exist_ok=True)
    for number, (colour, thing) in enumerate(things.held_out()):
        name = next(n for n in icons.names if thing in things.plain_names(n))
        Image.fromarray(icons.draw(name, colour)).save(Path(output) / f"{number}.png")


def write_thumbnails(folder, output):
    names, pictures = training_pictures(folder, SIZE)
    by_prompt = {prompt(name): picture for name, picture in zip(names, pictures)}
    block = SIZE // THUMBNAIL_SIDE
    thumbnails = []
    for text in THUMBNAIL_PROMPTS:
        blocks = by_prompt[text].reshape(THUMBNAIL_SIDE, block, THUMBNAIL_SIDE, block, 3)
        thumbnails.append([text, blocks.mean((1, 3)).round(1).ravel().tolist()])
    content = {"source": "@iconify-json/fluent-emoji-flat (MIT)", "thumbnails": thumbnails}
    Path(output).write_text(json.dumps(content) + "\n")


# command: what does it, the numbers of its arguments
COMMANDS = {
    "names": (write_names, (2,)),
    "score": (score, (3,)),
    "pairs": (write_pairs, (1,)),
    "score-pairs": (score_pairs, (2, 3)),
    "truth": (write_truth, (2,)),
    "thumbnails": (write_thumbnails, (2,)),
}


def main():
    command, arguments = sys.argv[1:2], sys.argv[2:]
    if command in (["-h"], ["--help"]):
        print(__doc__)
        return
    if not command or command[0] not in COMMANDS or len(arguments) not in COMMANDS[command[0]][1]:
        sys.exit(__doc__)
    COMMANDS[command[0]][0](*arguments)


if __name__ == "__main__":
    main()
