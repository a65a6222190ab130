"""Colour words: what they mean, how a picture is recoloured, and how a picture's colour is named.

All of it in OKLCh (Ottosson 2020), where lightness, chroma and hue are close to what is seen.
"""

import re

import numpy as np

# word: lightness, chroma and hue in degrees of the main colour of a thing of that colour
TARGETS = {
    "red": (0.60, 0.215, 26),
    "orange": (0.73, 0.170, 56),
    "yellow": (0.87, 0.165, 95),
    "green": (0.66, 0.175, 144),
    "cyan": (0.78, 0.115, 198),
    "blue": (0.58, 0.165, 256),
    "purple": (0.55, 0.190, 302),
    "pink": (0.77, 0.135, 354),
    "brown": (0.47, 0.075, 52),
    "black": (0.30, 0.0, 0),
    "white": (0.945, 0.0, 0),
    "gray": (0.66, 0.0, 0),
}
WORDS = tuple(TARGETS)
ACHROMATIC = ("black", "white", "gray")

# How much of the differences of lightness, chroma and hue within a thing stays.
KEEP_LIGHTNESS, KEEP_CHROMA, KEEP_HUE = 0.85, 0.5, 0.25
# A white or black thing has little room above or below.
KEEP_LIGHTNESS_AT_THE_ENDS = 0.6
# Less is gray; the faintest tints of Fluent's grays are below.
GRAY_CHROMA = 0.045
# Hues that move together with the thing's main one, to either side, in degrees.
MAIN_HUE_WIDTH = 45
# With less of its colourful part near the main hue, a thing has no main hue: all its hues move.
LEAST_MAIN_SHARE = 0.6
# With less of its area colourful, a thing counts as gray: its grays move.
LEAST_COLOURFUL_SHARE = 0.35
# Darker is an outline, a pupil, a tyre: stays.
DARK = 0.36

TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_lch(rgb):
    """sRGB from 0 to 1 on the last axis, to lightness, chroma and hue in degrees."""
    rgb = np.asarray(rgb, np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ TO_LMS.T) @ TO_LAB.T
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    return np.stack([lab[..., 0], chroma, hue], -1)


def to_rgb(lch):
    """The inverse; where a screen has no such colour, the chroma gives way."""
    lightness, chroma, hue = np.moveaxis(np.asarray(lch, np.float64), -1, 0)
    inverse_lab, inverse_lms = np.linalg.inv(TO_LAB), np.linalg.inv(TO_LMS)
    angle = np.radians(hue)

    def linear_of(c):
        lab = np.stack([lightness, c * np.cos(angle), c * np.sin(angle)], -1)
        return (lab @ inverse_lab.T) ** 3 @ inverse_lms.T

    low, high = np.zeros_like(chroma), chroma
    inside = lambda linear: ((linear > -1e-4) & (linear < 1 + 1e-4)).all(-1)
    low = np.where(inside(linear_of(high)), high, low)
    for _ in range(14):
        middle = (low + high) / 2
        fits = inside(linear_of(middle))
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    linear = np.clip(linear_of(low), 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def hue_difference(a, b):
    """From b to a, from -180 to 180."""
    return (a - b + 180) % 360 - 180


def peak_hue(hue, weight):
    """Where, in circles of 10 degrees, most of the weight is."""
    places = np.arange(0, 360, 5)
    near = np.exp(-((hue_difference(hue[None], places[:, None]) / 18) ** 2)) @ weight
    best = places[near.argmax()]
    offset = hue_difference(hue, best)
    close = weight * (np.abs(offset) < 40)
    return (best + (offset * close).sum() / max(close.sum(), 1e-9)) % 360


class Recolouring:
    """What is the main colour of a picture, and how each of its colours changes for a word."""

    def __init__(self, rgba):
        rgba = rgba.reshape(-1, 4).astype(np.float64) / 255
        lightness, chroma, hue = to_lch(rgba[rgba[:, 3] > 0.5, :3]).T
        colourful = (chroma >= GRAY_CHROMA) & (lightness > DARK)
        self.gray_thing = colourful.mean() < LEAST_COLOURFUL_SHARE
        self.hue = None
        if self.gray_thing:
            moved = ~colourful & (lightness > DARK)
            if moved.sum() < 0.2 * len(moved):  # a dark thing
                moved = np.ones_like(moved)
        else:
            weight = chroma * colourful
            main = peak_hue(hue, weight)
            near = colourful & (np.abs(hue_difference(hue, main)) < MAIN_HUE_WIDTH)
            if weight[near].sum() >= LEAST_MAIN_SHARE * weight.sum():
                self.hue, moved = main, near
            else:
                moved = colourful
        self.dark_thing = self.gray_thing and np.median(lightness[moved]) <= DARK
        self.lightness = lightness[moved].mean()
        self.chroma = chroma[moved].mean()

    def apply(self, rgb, word):
        """Colours of the picture from 0 to 1, as they are for the word."""
        lch = to_lch(rgb)
        lightness, chroma, hue = np.moveaxis(lch, -1, 0)
        target_lightness, target_chroma, target_hue = TARGETS[word]
        if self.gray_thing:
            moved = (chroma < GRAY_CHROMA) | (lightness <= DARK)
            if not self.dark_thing:
                moved &= lightness > DARK
            new_chroma = np.full_like(chroma, target_chroma)
            new_hue = np.full_like(hue, target_hue)
        else:
            moved = (chroma >= GRAY_CHROMA) & (lightness > DARK)
            offset = np.zeros_like(hue)
            if self.hue is not None:
                offset = hue_difference(hue, self.hue)
                moved &= np.abs(offset) < MAIN_HUE_WIDTH
            ratio = 1 + KEEP_CHROMA * (chroma / self.chroma - 1)
            new_chroma = target_chroma * np.clip(ratio, 0.5, 1.5)
            new_hue = target_hue + KEEP_HUE * offset
        keep = KEEP_LIGHTNESS_AT_THE_ENDS if word in ("black", "white") else KEEP_LIGHTNESS
        ends = (0.16, 0.985) if word != "white" else (0.6, 0.975)
        new_lightness = np.clip(target_lightness + keep * (lightness - self.lightness), *ends)
        # Towards white and black there is less colour.
        new_chroma = new_chroma * np.clip((1 - new_lightness) / (1 - target_lightness), 0.35, 1)
        made = to_rgb(np.stack([new_lightness, new_chroma, new_hue], -1))
        return np.where(moved[..., None], made, rgb)


def recolour_svg(body, recolouring, word):
    """An SVG's text with its colours changed."""

    def replace(match):
        digits = match[1]
        if len(digits) == 3:
            digits = "".join(c + c for c in digits)
        rgb = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        made = np.rint(recolouring.apply(rgb, word) * 255).astype(int)
        return '="#{:02x}{:02x}{:02x}"'.format(*made)

    return re.sub(r'="#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})"', replace, body)


# How a picture's colour is named ------------------------------------------------------------

# Farther from white, in OKLab, is not background.
BACKGROUND_DISTANCE = 0.03
# A picture of which less than this is colourful is black, white or gray.
LEAST_NAMED_SHARE = 0.22
# word: hues from, to; lightness from, to; of the pixels around the most frequent hue.
RANGES = {
    "red": (8, 42, 0.0, 0.70),
    "orange": (36, 76, 0.60, 1.0),
    "yellow": (76, 118, 0.55, 1.0),
    "green": (118, 172, 0.0, 1.0),
    "cyan": (172, 228, 0.0, 1.0),
    "blue": (228, 282, 0.0, 1.0),
    "purple": (282, 326, 0.0, 1.0),
    "pink": (326, 20, 0.63, 1.0),
    "brown": (20, 90, 0.0, 0.60),
}
LIGHTNESS_OF_GRAYS = {"black": (0.0, 0.47), "gray": (0.47, 0.82), "white": (0.82, 1.0)}


def measure_colour(rgb):
    """Of a picture from 0 to 255 on white: share of colourful pixels, the most frequent hue weighted
    by chroma, the lightness around it, and the median lightness of what is not colourful."""
    lightness, chroma, hue = to_lch(rgb.reshape(-1, 3) / 255).T
    thing = np.hypot(1 - lightness, chroma) > BACKGROUND_DISTANCE
    if thing.sum() < 20:
        return 0.0, 0.0, 1.0, 1.0
    lightness, chroma, hue = lightness[thing], chroma[thing], hue[thing]
    colourful = chroma >= GRAY_CHROMA
    weight = np.where(colourful, chroma, 0)
    grays = float(np.median(lightness[~colourful])) if (~colourful).any() else 1.0
    if not colourful.any():
        return 0.0, 0.0, grays, grays
    main = peak_hue(hue, weight)
    near = weight * (np.abs(hue_difference(hue, main)) < 25)
    around = float((lightness * near).sum() / max(near.sum(), 1e-9))
    return float(colourful.mean()), float(main), around, grays


def fits(rgb, word):
    """Whether a picture's main colour is within the word's range."""
    share, hue, lightness, grays = measure_colour(rgb)
    if word in ACHROMATIC:
        low, high = LIGHTNESS_OF_GRAYS[word]
        return share < 0.5 and low <= grays <= high
    start, end, low, high = RANGES[word]
    width = (end - start) % 360
    return (
        share >= LEAST_NAMED_SHARE and (hue - start) % 360 <= width and low <= lightness <= high
    )
