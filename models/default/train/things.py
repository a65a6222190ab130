"""What the pictures show: names, short names, which have a colour in their name, what is held out."""

import re
from pathlib import Path

from colours import WORDS

# Names of colours in the icons' names, and ours.
NAMED = {**{word: word for word in WORDS}, "grey": "gray"}
# Icons whose name holds a colour: the thing, and the picture that is recoloured for other colours.
# The others of a thing are pictures of one colour, and are not recoloured.
COLOUR_NAMED = {
    "apple": "red apple",
    "heart": "red heart",
    "book": "blue book",
}
# A picture's other name, where the icon's own is not what one would say.
SHORT = {
    "automobile": "car",
    "racing car": "race car",
    "cat face": "cat head",
    "dog face": "dog head",
    "t rex": "dinosaur",
    "tulip": "flower",
    "deciduous tree": "tree",
    "lady beetle": "ladybug",
    "honeybee": "bee",
    "spouting whale": "whale with water",
    "birthday cake": "cake",
    "bread": "loaf of bread",
    "french fries": "fries",
    "hot beverage": "cup of coffee",
    "teacup without handle": "tea cup",
    "mans shoe": "shoe",
    "t shirt": "shirt",
    "womans hat": "hat",
    "running shoe": "sneaker",
    "high heeled shoe": "high heel",
    "wrapped gift": "gift",
    "motor boat": "boat",
    "airplane": "plane",
    "doughnut": "donut",
    "mobile phone": "phone",
    "television": "tv",
    "desktop computer": "computer",
    "full moon": "moon",
    "couch and lamp": "sofa",
    "necktie": "tie",
    "spiral shell": "shell",
    "paintbrush": "brush",
    "pile of poo": "poo",
    "flying saucer": "ufo",
    "poultry leg": "chicken leg",
    "ear of corn": "corn",
    "hot pepper": "chili pepper",
    "locomotive": "steam train",
    "lorry": "truck",
    "delivery truck": "truck",
    "billed cap": "cap",
    "locked": "lock",
    "smiling face": "smiley",
}

HELD_OUT_FILE = Path(__file__).resolve().parent.parent / "held_out.txt"


def held_out():
    """(colour, thing) pairs that no caption has, in the file's order."""
    lines = HELD_OUT_FILE.read_text().splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line and not line.startswith("#")]


def tells_held_out(colour, names):
    """Whether a caption would have both words of a held-out pair, as "a green police car" has of
    "green car"."""
    words = {word for name in names for word in name.split()}
    return any(colour == held and thing in words for held, thing in held_out())


def colour_in(name):
    """(colour, rest) of a name such as "green apple"; None of others."""
    for word in name.split():
        if word in NAMED:
            rest = " ".join(part for part in name.split() if part != word)
            return NAMED[word], re.sub(r"^light ", "", rest)
    return None


def thing_of(name):
    """What is recoloured as "a COLOUR thing"; None where the picture is of one colour by its name."""
    bases = {icon: thing for thing, icon in COLOUR_NAMED.items()}
    if name in bases:
        return bases[name]
    return None if colour_in(name) else name


def names_of(thing, icon):
    """The thing's names: its own, and a short one."""
    return [thing, SHORT[icon]] if icon in SHORT else [thing]


def plain_names(icon):
    """What the picture in its own colours is called; also without the colour in its name."""
    bases = {base: thing for thing, base in COLOUR_NAMED.items()}
    return [icon, bases[icon]] if icon in bases else names_of(icon, icon)
