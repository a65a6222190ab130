#!/usr/bin/env python3
"""Step 1: draws the emoji at SIZE x SIZE pixels on white -> data.npz.

    data.py ICONS

ICONS holds the unpacked npm packages as folders `noto` and `fluent-emoji-flat`.
"""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

SIZE = 64
OVERSAMPLING = 4
# folder of the icon set, name of the style in captions
SETS = (("noto", "noto"), ("fluent-emoji-flat", "flat"))
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


def draw(icon, icon_set):
    width = icon.get("width", icon_set.get("width", 16))
    height = icon.get("height", icon_set.get("height", 16))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
    )
    large = SIZE * OVERSAMPLING
    png = resvg_py.svg_to_bytes(svg_string=svg, width=large, height=large, background="white")
    image = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    return np.asarray(image.resize((SIZE, SIZE), Image.BOX))


def icons(folder):
    """(name, picture) of every icon of a set that is trained on, in a fixed order."""
    icon_set = json.loads((folder / "icons.json").read_text())
    categories = json.loads((folder / "metadata.json").read_text())["categories"]
    seen = set()
    for category in CATEGORIES:
        for key in categories.get(category, ()):
            if key in seen or DROP.search(key) or key not in icon_set["icons"]:
                continue
            seen.add(key)
            yield key.replace("-", " "), draw(icon_set["icons"][key], icon_set)


def main():
    source = Path(sys.argv[1])
    names, styles, pictures = [], [], []
    for folder, style in SETS:
        for name, picture in icons(source / folder):
            names.append(name)
            styles.append(style)
            pictures.append(picture)
    np.savez_compressed("data.npz", x=np.stack(pictures), name=np.array(names), style=np.array(styles))
    print(len(pictures), "pictures")


if __name__ == "__main__":
    main()
