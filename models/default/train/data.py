#!/usr/bin/env python3
"""Draws the emoji, as they are and in other colours -> pictures.npy, index.json.

    data.py ICONS

ICONS is the unpacked npm package @iconify-json/fluent-emoji-flat. Takes four minutes and 630 MB.
"""

import argparse
import io
import json
import re
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

import colours
import things

SIZE = 128
OVERSAMPLING = 2  # on top of the drawing's own smooth edges
CATEGORIES = (
    "Animals & Nature",
    "Food & Drink",
    "Activities",
    "Travel & Places",
    "Objects",
    "Smileys & Emotion",
)
# Variants that a prompt could not tell apart, and signs made of letters.
DROP = re.compile(
    r"(^|-)(skin-tone|flag|keycap|thirty|oclock|o-clock|japanese|button|medal-\d)($|-)"
    r"|light-skin|dark-skin|medium-skin"
)


class Icons:
    """The icons that are trained on: their names in a fixed order, and their pictures."""

    def __init__(self, folder):
        folder = Path(folder)
        icon_set = json.loads((folder / "icons.json").read_text())
        categories = json.loads((folder / "metadata.json").read_text())["categories"]
        self.bodies, self.cached = {}, {}
        self.side = icon_set.get("width", 16)
        for category in CATEGORIES:
            for key in categories.get(category, ()):
                if not DROP.search(key) and key in icon_set["icons"]:
                    self.bodies.setdefault(key.replace("-", " "), icon_set["icons"][key]["body"])
        self.names = list(self.bodies)

    def rasterise(self, body, size, background=None):
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {self.side} {self.side}" width="{self.side}" height="{self.side}">{body}</svg>'
        )
        options = {"background": background} if background else {}
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, **options)
        return Image.open(io.BytesIO(bytes(png)))

    def draw(self, name, word=None, size=SIZE):
        """The picture on white; with a word, in that colour."""
        body = self.bodies[name]
        if word:
            if name not in self.cached:
                transparent = np.asarray(self.rasterise(body, SIZE).convert("RGBA"))
                self.cached[name] = colours.Recolouring(transparent)
            body = colours.recolour_svg(body, self.cached[name], word)
        image = self.rasterise(body, size * OVERSAMPLING, "white").convert("RGB")
        return np.asarray(image.resize((size, size), Image.BOX))


def plan(names):
    """What is drawn: (icon, word or None), and what its captions call it: (colour or None, names).

    A picture whose name holds a colour is drawn as it is only, and says so in both ways; no held-out
    pair is in it.
    """
    held_out = set(things.held_out())
    rows = []
    for name in names:
        rows.append((name, None, None, things.plain_names(name)))
    native = {things.colour_in(name) for name in names} - {None}
    for name in names:
        thing = things.thing_of(name)
        if thing is None:
            continue
        called = things.names_of(thing, name)
        for word in colours.WORDS:
            if any((word, n) in held_out for n in called) or (word, thing) in native:
                continue
            rows.append((name, word, word, called))
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("icons", help="the folder of the icon set")
    icons = Icons(parser.parse_args().icons)
    rows = plan(icons.names)
    pictures = np.lib.format.open_memmap(
        "pictures.tmp.npy", "w+", np.uint8, (len(rows), SIZE, SIZE, 3)
    )
    for number, (name, word, _, _) in enumerate(rows):
        pictures[number] = icons.draw(name, word)
        if number % 2000 == 0:
            print(number, "of", len(rows), flush=True)
    pictures.flush()
    index = [{"icon": n, "word": w, "colour": c, "names": called} for n, w, c, called in rows]
    Path("index.json").write_text(json.dumps(index))
    Path("pictures.tmp.npy").rename("pictures.npy")
    print(len(rows), "pictures of", len(icons.names), "icons")


if __name__ == "__main__":
    main()
