"""Draw grey faces with an expression and write them as FER-2013's zip, with the flaws of the real data.

What a network scores on them shows that a study runs, and says nothing about people. An expression is action units
of the Facial Action Coding System (Ekman, Friesen and Hager, 2002). A point of a face is (u, v): its distance from
the middle line, to the image's right, and downwards from the middle of the head, both in half head widths.
"""

import dataclasses
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw

from fer_lib.datasets.cache import default_cache_dir
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.datasets.splits import Splits
from fer_lib.errors import ParameterError
from fer_lib.files import write_atomically

VERSION = 3  # raised with any change to what is drawn or written: older faces are then drawn again
# Action unit -> what it does to the drawn face at full strength. In half head widths, upwards: brow_inner,
# brow_outer, brow_arch, lid_upper, lid_lower (over the eye), upper_lip, corner_up, mouth_up; downwards: lower_lip,
# jaw; towards the nose: brow_knit; away from it: corner_out. As shares of 1: lip_thin, and all furrows.
ACTION_UNITS = {
    1: {"brow_inner": 0.15, "brow_arch": 0.03, "forehead": 0.5},  # inner brow raiser
    2: {"brow_outer": 0.14, "brow_arch": 0.06, "brow_inner": 0.05, "forehead": 0.5},  # outer brow raiser
    4: {"brow_inner": -0.13, "brow_outer": -0.02, "brow_arch": -0.03, "brow_knit": 0.09},  # brow lowerer
    5: {"lid_upper": 0.085},  # upper lid raiser
    6: {"lid_lower": 0.055, "lid_upper": -0.015, "cheek": 1.0},  # cheek raiser
    7: {"lid_lower": 0.035, "lid_upper": -0.035},  # lid tightener
    9: {"nose_wrinkle": 1.0, "upper_lip": 0.06, "brow_inner": -0.09, "lid_lower": 0.035, "lid_upper": -0.03},
    10: {"upper_lip": 0.11, "fold": 0.8},  # upper lip raiser
    12: {"corner_up": 0.19, "corner_out": 0.12, "fold": 0.8},  # lip corner puller
    15: {"corner_up": -0.15, "corner_out": -0.02},  # lip corner depressor
    16: {"lower_lip": 0.09},  # lower lip depressor
    17: {"chin": 1.0, "mouth_up": 0.06},  # chin raiser
    20: {"corner_out": 0.15, "corner_up": -0.05, "lower_lip": 0.03},  # lip stretcher
    23: {"lip_thin": 0.55, "corner_out": -0.05},  # lip tightener
    24: {"lip_thin": 0.75, "corner_out": -0.07},  # lip pressor
    25: {"upper_lip": 0.04, "lower_lip": 0.08},  # lips part
    26: {"jaw": 0.3, "corner_out": -0.09},  # jaw drop
    27: {"jaw": 0.42, "corner_out": -0.11},  # mouth stretch
}
# The prototypes of the field (EMFACS) and common variants: action unit -> strength at full intensity.
EXPRESSIONS: dict[str, tuple[dict[int, float], ...]] = {
    "angry": ({4: 1, 5: 0.5, 7: 0.8, 23: 1}, {4: 1, 7: 0.8, 24: 1, 17: 0.7}, {4: 1, 5: 1, 7: 0.7, 16: 1, 25: 1}),
    "disgust": ({9: 1, 10: 0.9, 15: 0.5, 17: 0.7}, {9: 1, 10: 1, 16: 0.4, 25: 0.5}, {9: 1, 10: 1, 15: 0.3}),
    "fear": ({1: 1, 2: 0.5, 4: 0.6, 5: 1, 20: 1, 25: 1}, {1: 1, 2: 0.5, 4: 0.6, 5: 1, 20: 1, 26: 0.5}),
    "happy": ({6: 1, 12: 1}, {6: 1, 12: 1, 25: 1}, {6: 0.9, 12: 1, 25: 1, 26: 0.4}),
    "neutral": ({},),
    "sad": ({1: 1, 4: 0.45, 15: 1, 7: 0.3}, {1: 1, 4: 0.45, 15: 0.9, 17: 0.9, 7: 0.3}),
    "surprise": ({1: 1, 2: 1, 5: 0.8, 26: 1}, {1: 1, 2: 1, 5: 1, 27: 0.9}, {1: 1, 2: 1, 5: 0.6, 26: 0.7}),
}
STRAY_UNITS = (1, 2, 4, 5, 6, 7, 10, 12, 15, 17, 20, 23)  # one is in every showing: no face is quite still
# Drawn uniformly for each subject and view, between two limits: shades, 0 to 255; sizes; `parting` is where the
# hairline is highest, -1 (left) to 1; `side`: light from the image's right (-1) to its left (1).
SUBJECT = {
    "skin": (110, 225), "hair": (25, 110), "iris": (50, 110), "jaw": (2.1, 3.4),
    "brow": (0.055, 0.11), "neck": (0.48, 0.64), "hair_end": (0.4, 2.2), "parting": (-0.8, 0.8),
    "hairline": (-0.92, -0.72), "width": (0.86, 0.97), "chin": (1.2, 1.32), "eye": (0.365, 0.43),
    "eye_size": (0.98, 1.15), "brow_height": (-0.34, -0.3), "brow_tilt": (-0.02, 0.025),
    "nose_width": (0.15, 0.21), "nose_end": (0.37, 0.45), "mouth_width": (0.29, 0.37), "lips": (0.75, 1.25),
}  # fmt: skip
VIEW = {
    "zoom": (0.95, 1.1), "turn": (-0.2, 0.2), "roll": (-0.12, 0.12), "shift_x": (-0.08, 0.08),
    "shift_y": (-0.08, 0.08), "side": (-1, 1), "gain": (0.85, 1.1), "noise": (0, 5), "background": (50, 225),
}  # fmt: skip
SIZE, FINE = 48, 4  # pixels; each is the mean of 4 x 4 drawn ones
SPAN = 2.1  # the image's width in half head widths
CROWN, TEMPLE, EYES, MOUTH = -1.3, -0.25, -0.02, 0.74  # heights on the head
LINE, LIPS, INSIDE, TEETH, TONGUE = 30, 80, 30, 235, 110  # shades
ACROSS = np.linspace(-1.0, 1.0, 21)  # along a mouth or an eye, from corner to corner
ALONG = np.linspace(0.0, 1.0, 11)  # along a brow or a furrow
CIRCLE = np.linspace(0.0, 2 * np.pi, 24)
# Images of a class, of the mean over the classes: by the square root of FER-2013's, so that some are of disgust.
SHARES = {
    "angry": 1.03, "disgust": 0.34, "fear": 1.04, "happy": 1.38, "neutral": 1.15, "sad": 1.14, "surprise": 0.92,
}  # fmt: skip
# Usage -> its folder, its share of the images, and the fewest of a class: the paper's fifth is then not empty.
USAGES = {"Training": ("train", 0.8, 5), "PublicTest": ("test", 0.1, 3), "PrivateTest": ("test", 0.1, 3)}
# Usage, class and place of an image -> those of the Training image that replaces it, or of none: a black one.
FLAWS = {
    ("PublicTest", "happy", 0): ("Training", "happy", 0), ("PublicTest", "sad", 0): ("Training", "sad", 0),
    ("PrivateTest", "happy", 0): ("Training", "happy", 1), ("PrivateTest", "sad", 0): ("Training", "sad", 1),
    ("Training", "sad", 2): ("Training", "neutral", 0), ("Training", "happy", 2): ("", "", 0),
}  # fmt: skip
Outline = tuple[np.ndarray, np.ndarray]  # u, v
Drawn = tuple[Outline, float]  # and its shade
Effects = dict[str, float]


def load_synthetic(protocol: str = "official", generated_images: int = 840) -> Splits:
    """Draw about so many faces into the cache, once, and divide them as FER-2013 is by this protocol."""
    per_class = round(generated_images / len(SHARES))
    path = default_cache_dir() / f"generated-{VERSION}-{per_class}.zip"
    if not path.exists():
        make_synthetic(path, per_class)
    return dataclasses.replace(load_fer2013(path, protocol), dataset="synthetic")


def make_synthetic(target: str | Path, images_per_class: int = 100, seed: int = 0) -> Path:
    """Draw faces, with the flaws of `FLAWS`, and write them as FER-2013's zip; return its path.

    The same arguments give the same bytes. `images_per_class` is the mean over the classes, all three splits
    together; see `SHARES`. ParameterError where something is at `target`, which is left alone.
    """
    target = Path(target).expanduser()
    if target.exists():
        raise ParameterError("Something else is where faces are to be written", target, "nothing yet")

    def write(path: str) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, jpeg in sorted(_images(images_per_class, seed)):
                # A fixed date: the same bytes again.
                archive.writestr(zipfile.ZipInfo(name, (2013, 7, 1, 0, 0, 0)), jpeg)

    write_atomically(target, write)
    return target


def _images(images_per_class: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file."""
    rng = np.random.default_rng((seed, 0))
    places = [
        (usage, name, place)
        for usage, (_, share, fewest) in USAGES.items()
        for name in SHARES
        for place in range(max(fewest, round(share * images_per_class * SHARES[name])))
    ]
    numbers = 10_000_000 + rng.choice(90_000_000, len(places), replace=False)
    faces = {place: draw_face(seed, index, place[1]) for index, place in enumerate(places)}
    faces |= {place: faces.get(source, np.zeros((SIZE, SIZE), np.uint8)) for place, source in FLAWS.items()}
    for (usage, name, place), number in zip(places, numbers, strict=True):
        stream = io.BytesIO()
        Image.fromarray(faces[usage, name, place]).save(stream, "JPEG", quality=90)
        yield f"{USAGES[usage][0]}/{name}/{usage}_{number}.jpg", stream.getvalue()


def draw_face(seed: int, index: int, expression: str) -> np.ndarray:
    """Draw face number `index`, each of another subject: uint8 `(48, 48)`."""
    rng = np.random.default_rng((seed, 1, index))
    sides = random_expression(rng, expression)
    subject, view = (
        SimpleNamespace(**{name: rng.uniform(*between) for name, between in limits.items()})
        for limits in (SUBJECT, VIEW)
    )
    subject.hair = min(subject.hair, 0.6 * subject.skin)  # no feature drowns in dark skin
    both = {effect: (sides[0][effect] + sides[1][effect]) / 2 for effect in sides[0]}
    # From back to front.
    parts = [_head(subject, both), _nose(subject, view, both), _mouth(subject, sides, both)]
    for side, effects in zip((-1, 1), sides, strict=True):
        parts += [_eye(subject, side, effects), _brow_and_furrows(subject, side, effects)]
    whole = SIZE * FINE
    scale, middle = whole * view.zoom / SPAN, whole * np.array([0.5 + view.shift_x, 0.46 + view.shift_y])
    turn = np.array([[np.cos(view.roll), -np.sin(view.roll)], [np.sin(view.roll), np.cos(view.roll)]])
    image, shape = Image.new("L", (whole, whole), int(view.background)), Image.new("L", (whole, whole))
    for (u, v), shade in itertools.chain(*parts):
        # A turned head moves its middle more than its edges.
        u = u + view.turn * np.sqrt(np.clip(1 - u**2, 0, 1))
        points = (middle + scale * np.stack([u, v], -1) @ turn.T).ravel().tolist()
        ImageDraw.Draw(image).polygon(points, int(np.clip(shade, 0, 255)))
        ImageDraw.Draw(shape).polygon(points, 255)
    # Light falls on the head from above and from one side; then the camera exposes.
    x, y = ((np.arange(SIZE) * FINE - middle[axis]) / scale for axis in (0, 1))
    depth = np.sqrt(np.clip(1 - x**2 - (y[:, None] / 1.25) ** 2, 0, 1))
    light = np.clip(0.15 - 0.5 * view.side * x - 0.2 * y[:, None] + 0.85 * depth, 0, 1)
    shadow = np.asarray(shape.reduce(FINE)) / 255 * (0.5 - 0.5 * light)
    pixels = np.asarray(image.reduce(FINE)) * view.gain * (1 - shadow) + rng.normal(0, view.noise, (SIZE, SIZE))
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


def random_expression(rng: np.random.Generator, expression: str) -> tuple[Effects, Effects]:
    """Draw one showing of an expression, weak or strong: its effects in the image's left and right half."""
    intensity = 0.5 + 0.5 * rng.beta(2.2, 1.4)
    prototype = EXPRESSIONS[expression][rng.integers(len(EXPRESSIONS[expression]))]
    units = {unit: strength * intensity * rng.uniform(0.8, 1.15) for unit, strength in prototype.items()}
    stray = STRAY_UNITS[rng.integers(len(STRAY_UNITS))]
    units[stray] = units.get(stray, 0.0) + rng.uniform(0.0, 0.15)
    tilt = rng.uniform(-0.12, 0.12)
    return effects_of(units, 1 + tilt), effects_of(units, 1 - tilt)


def effects_of(units: dict[int, float], balance: float = 1.0) -> Effects:
    """Sum the effects of action units, unit -> strength: each effect that `ACTION_UNITS` names -> its amount."""
    total = {effect: 0.0 for effects in ACTION_UNITS.values() for effect in effects}
    for unit, strength in units.items():
        for effect, amount in ACTION_UNITS[unit].items():
            total[effect] += balance * strength * amount
    return total


def _line(u: np.ndarray, v: np.ndarray, thickness: np.ndarray | float) -> Outline:
    """The outline of a line along (u, v), thickened across the direction from its first to its last point."""
    across = np.array([v[0] - v[-1], u[-1] - u[0]])
    du, dv = (across / np.hypot(*across))[:, None] * thickness / 2
    return np.concatenate([u - du, (u + du)[::-1]]), np.concatenate([v - dv, (v + dv)[::-1]])


def _band(u: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> Outline:
    return np.concatenate([u, u[::-1]]), np.concatenate([top, bottom[::-1]])


def _mix(first: float, second: float, share: float) -> float:
    return first * (1 - share) + second * share


def _head(subject: SimpleNamespace, both: Effects) -> Iterator[Drawn]:
    """Hair behind the head, neck, hair on top, ears, and the skin that the hair leaves free."""
    t, chin = ACROSS, subject.chin + 0.6 * both["jaw"]
    yield _band(1.06 * t, 0.1 - np.sqrt(1 - t**2), subject.hair_end - 0.25 * t**4), _mix(subject.hair, LINE, 0.25)
    yield _band(subject.neck * t, 0.2 + 0 * t, 2.2 + 0 * t), _mix(subject.skin, LINE, 0.3)

    def half_width(v: np.ndarray) -> np.ndarray:
        up, down = (np.clip((v - TEMPLE) / (end - TEMPLE), 0, 1) for end in (CROWN, chin))
        return subject.width * (1 - up**2.5) ** 0.45 * (1 - down**subject.jaw) ** 0.59

    rows = (1 - np.cos(np.linspace(0, np.pi, 40))) / 2  # 0 to 1, denser at both ends
    v = CROWN + (0.3 - CROWN) * rows
    wide = 1.07 * half_width(v)
    yield _band(v, -wide, wide)[::-1], subject.hair
    for side in (-1, 1):
        for size, shade in ((1, 0.1), (0.55, 0.3)):
            ear = side * subject.width + size * 0.09 * np.cos(CIRCLE), 0.14 + size * 0.24 * np.sin(CIRCLE)
            yield ear, _mix(subject.skin, LINE, shade)
    v = subject.hairline + (chin - subject.hairline) * rows
    rise = np.clip((v - subject.hairline) / (-0.3 - subject.hairline), 0, 1)
    left, right = (np.sin(np.pi / 2 * rise ** (0.5 - 0.35 * side * subject.parting)) for side in (-1, 1))
    wide = half_width(v)
    yield _band(v, -wide * left, wide * right)[::-1], subject.skin


def _eye(subject: SimpleNamespace, side: int, effects: Effects) -> Iterator[Drawn]:
    """White, iris and pupil in the opening that the lids leave, then the lids."""
    t, eye, size = ACROSS, subject.eye, subject.eye_size
    upper = max(0.1 * size + effects["lid_upper"], 0.02)
    lower = max(0.06 * size - effects["lid_lower"], 0.015 - upper)

    def lids(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return EYES - 0.015 * t - upper * (1 - t**2) ** 0.75, EYES - 0.015 * t + lower * (1 - t**2)

    u, (top, bottom) = side * (eye + 0.2 * size * t), lids(t)
    yield _band(u, top, bottom), TEETH
    for radius, shade in ((0.1 * size, subject.iris), (0.048 * size, 12)):
        disc = radius * np.cos(CIRCLE)
        disc_v = np.clip(EYES - 0.02 + radius * np.sin(CIRCLE), *lids(disc / (0.2 * size)))
        yield (side * (eye + disc), disc_v), shade
    lash = 0.036 * np.sqrt(1 - 0.75 * t**2)
    yield _line(u, top, lash), LINE
    yield _line(u, bottom, 0.4 * lash), _mix(subject.skin, LINE, 0.5)
    yield _line(u, top - 0.055, 0.016), _mix(subject.skin, LINE, 0.3)


def _nose(subject: SimpleNamespace, view: SimpleNamespace, both: Effects) -> Iterator[Drawn]:
    """The ridge's shadow on the side away from us, or from the light; wings and nostrils."""
    t, wrinkle = ALONG, both["nose_wrinkle"]
    wide, base = subject.nose_width * (1 + 0.15 * wrinkle), subject.nose_end - 0.045 * wrinkle
    shaded = 1 if (view.turn if abs(view.turn) > 0.12 else view.side) > 0 else -1
    v = -0.15 + (base + 0.08) * t
    ridge, flank = 0.05 * shaded + 0 * t, shaded * (0.07 + (wide - 0.05) * t**2.2)
    yield _band(v, ridge, flank)[::-1], _mix(subject.skin, LINE, 0.15)
    angle = np.pi * (0.97 * t - 0.35)
    wing, wing_v = wide - 0.055 + 0.065 * np.cos(angle), base - 0.02 + 0.07 * np.sin(angle)
    for side in (-1, 1):
        yield _line(side * wing, wing_v, 0.02), _mix(subject.skin, LINE, 0.4)
        nostril = side * (0.075 + 0.042 * np.cos(CIRCLE)), base + 0.035 + 0.022 * np.sin(CIRCLE)
        yield nostril, _mix(subject.skin, LINE, 0.7)


def _mouth(subject: SimpleNamespace, sides: tuple[Effects, Effects], both: Effects) -> Iterator[Drawn]:
    """Lips, and what an open mouth shows between them; `rim` is the lower edge of the upper lip."""
    t, jaw = ACROSS, both["jaw"]
    out, up = (np.where(t < 0, *(side[effect] for side in sides)) for effect in ("corner_out", "corner_up"))
    u = t * (subject.mouth_width + out)
    arch = both["upper_lip"] + 0.3 * jaw - 0.25 * up
    rim = MOUTH - both["mouth_up"] - arch * (1 - t**2) - up * np.abs(t) ** 1.7
    opening = both["lower_lip"] + jaw
    # A raised upper lip opens the mouth further only where something opens it at all; a dropped jaw rounds it.
    gap = opening + 0.5 * both["upper_lip"] * min(1.0, opening / 0.06)
    gaps = gap * (1 - t**2) ** (0.45 if jaw > 0.1 else 0.6)
    full = subject.lips * (1 - 0.9 * min(both["lip_thin"], 0.95)) * np.sqrt(1 - t**2)
    lip = _mix(subject.skin, LIPS, 0.55)
    yield _band(u, rim - 0.07 * full * (1 - 0.25 * np.exp(-((t / 0.14) ** 2))), rim), _mix(lip, LINE, 0.2)
    yield _band(u, rim + gaps, rim + gaps + 0.09 * full), lip
    if gap > 0.012:
        teeth = 0.11 * (1 - 0.75 * min(1.0, jaw / 0.24)) * gaps / gap
        yield _band(u, rim, rim + gaps), INSIDE
        yield _band(0.93 * u, rim + 0.004, rim + np.minimum(teeth, 0.9 * gaps)), TEETH
        if gap > 0.2:
            yield _band(0.7 * u, rim + 0.72 * gaps, rim + 0.96 * gaps), TONGUE
    else:
        yield _line(u, rim, 0.03 * np.sqrt(1 - 0.6 * t**2)), INSIDE
    yield _line(0.55 * u, rim + gap + 0.05 + 0.09 * full + 0.02 * t**2, 0.02), _mix(subject.skin, LINE, 0.2)


def _brow_and_furrows(subject: SimpleNamespace, side: int, effects: Effects) -> Iterator[Drawn]:
    """The brow, and the lines that contracting muscles draw on the skin, each as strong as its action unit."""
    t, eye, knit = ALONG, subject.eye, effects["brow_knit"]
    inner = subject.brow_height - effects["brow_inner"]
    outer = subject.brow_height + 0.03 - subject.brow_tilt - effects["brow_outer"]
    peak = (inner + outer) / 2 - 0.09 - 2 * effects["brow_arch"]
    v = (1 - t) ** 2 * inner + 2 * t * (1 - t) * peak + t**2 * outer
    u = side * (eye - 0.19 - knit + t * (0.46 + 0.7 * knit))
    yield _line(u, v, subject.brow * (1.05 - 0.75 * t**1.6)), _mix(subject.hair, LINE, 0.6)
    corner = subject.mouth_width + effects["corner_out"] + 0.07, MOUTH - effects["corner_up"]
    chin, bow = 0.945 + 0.5 * effects["jaw"], np.sin(np.pi * t)
    # Effect, opacity at its full strength, first point (u, v), last point, bow across and downwards.
    for effect, opacity, (u0, v0), (u1, v1), across, down in (
        ("fold", 0.5, (subject.nose_width + 0.03, subject.nose_end - 0.05), corner, 0.07, 0),
        ("cheek", 0.4, (eye - 0.2, 0.13), (eye + 0.2, 0.11), 0, 0.03),
        *(("cheek", 0.4, (eye + 0.24, end - 0.01), (eye + 0.35, 2.5 * end), 0, 0) for end in (-0.03, 0, 0.03)),
        *(("nose_wrinkle", 0.5, (0.02, v), (0.11, v - 0.035), 0, 0) for v in (-0.17, -0.1, -0.03)),
        ("brow_knit", 5, (0.055, -0.42), (0.07, -0.22), 0, 0),
        *(("forehead", 0.3, (0, v), (0.42, v), 0, -0.02) for v in (-0.56, -0.64)),
        ("chin", 0.45, (0, chin), (0.16, chin + 0.06), 0, -0.02),
    ):
        strength = min(opacity * effects[effect], 1.0)
        if strength > 0.02:
            path = side * (u0 + (u1 - u0) * t + across * bow), v0 + (v1 - v0) * t + down * bow
            yield _line(*path, 0.007 + 0.017 * bow), _mix(subject.skin, LINE, strength)
