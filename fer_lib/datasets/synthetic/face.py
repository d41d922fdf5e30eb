"""Draw one face with an expression: NumPy places outlines on a solid head, Pillow fills them, light comes last.

An expression is action units of the Facial Action Coding System (Ekman, Friesen and Hager, 2002). The head is a
stack of discs on which nose, lips and chin stand out, so that a turned head foreshortens, hides its far side and
shows its profile by projection alone. A point of the face is (u, v): its distance from the middle line, to the
image's right, and its height, downwards from the middle of the head, both in half head widths.
"""

from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw

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
EXPRESSIONS = {
    "angry": ({4: 1, 5: 0.5, 7: 0.8, 23: 1}, {4: 1, 7: 0.8, 24: 1, 17: 0.7}, {4: 1, 5: 1, 7: 0.7, 16: 1, 25: 1}),
    "disgust": ({9: 1, 10: 0.9, 15: 0.5, 17: 0.7}, {9: 1, 10: 1, 16: 0.4, 25: 0.5}, {9: 1, 10: 1, 15: 0.3}),
    "fear": ({1: 1, 2: 0.5, 4: 0.6, 5: 1, 20: 1, 25: 1}, {1: 1, 2: 0.5, 4: 0.6, 5: 1, 20: 1, 26: 0.5}),
    "happy": ({6: 1, 12: 1}, {6: 1, 12: 1, 25: 1}, {6: 0.9, 12: 1, 25: 1, 26: 0.4}),
    "neutral": ({},),
    "sad": ({1: 1, 4: 0.45, 15: 1, 7: 0.3}, {1: 1, 4: 0.45, 15: 0.9, 17: 0.9, 7: 0.3}),
    "surprise": ({1: 1, 2: 1, 5: 0.8, 26: 1}, {1: 1, 2: 1, 5: 1, 27: 0.9}, {1: 1, 2: 1, 5: 0.6, 26: 0.7}),
}  # fmt: skip
STRAY_UNITS = (1, 2, 4, 5, 6, 7, 10, 12, 15, 17, 20, 23)  # one is in every showing: no face is quite still

SIDES = np.array([[-1.0], [1.0]])  # the image's left and right half
ACROSS = np.linspace(-1.0, 1.0, 21)  # along a mouth or an eye, from corner to corner
ALONG = np.linspace(0.0, 1.0, 11)  # along a brow or a furrow
CIRCLE = np.linspace(0.0, 2 * np.pi, 24)
ROWS = (1 + np.sin(np.linspace(-np.pi / 2, np.pi / 2, 30)))[:, None] / 2  # 0 to 1, denser at both ends
CROWN, TEMPLE, EYES, EARS, MOUTH = -1.3, -0.25, -0.02, 0.14, 0.74  # heights on the head
# Colours are RGB; lines and shadows on the skin are LINE, more or less opaque.
SKINS = ((250, 218, 194), (240, 200, 170), (226, 180, 146), (205, 156, 118), (178, 126, 90), (146, 100, 72))
HAIRS = (
    (38, 30, 28), (66, 44, 32), (104, 68, 42), (150, 104, 58), (206, 168, 104), (150, 70, 40), (150, 148, 146),
)  # fmt: skip
IRISES = ((70, 46, 32), (96, 64, 38), (84, 100, 60), (74, 104, 132), (96, 112, 118))
LINE, LIPS, INSIDE, TEETH, TONGUE = (40, 28, 26), (150, 52, 56), (52, 18, 20), (240, 236, 226), (176, 84, 84)
# Drawn uniformly for each subject, between two limits; `parting` is where the hairline is highest, -1 (left) to 1.
PROPORTIONS = {
    "F": {"jaw": (2.1, 2.7), "brow": (0.055, 0.08), "neck": (0.48, 0.52), "hair_end": (1.0, 2.2)},
    "M": {"jaw": (2.5, 3.4), "brow": (0.08, 0.11), "neck": (0.6, 0.64), "hair_end": (0.5, 0.6)},
    "both": {
        "parting": (-0.8, 0.8), "hairline": (-0.92, -0.72), "width": (0.86, 0.97), "chin": (1.2, 1.32),
        "eye": (0.365, 0.43), "eye_size": (0.98, 1.15), "brow_height": (-0.34, -0.3), "brow_tilt": (-0.02, 0.025),
        "nose_width": (0.15, 0.21), "nose_end": (0.37, 0.45), "mouth_width": (0.29, 0.37), "lips": (0.75, 1.25),
    },
}  # fmt: skip
# FER-2013's heads cropped from the web and KDEF's portraits from a studio: the image's width in half head widths,
# standard deviations of yaw, pitch, roll (degrees) and shifts.
FRAMINGS = {"web": (2.1, (8, 4, 4, 0.05, 0.05)), "studio": (2.75, (2, 1, 1, 0.03, 0.03))}
LIGHTS = {  # drawn uniformly between two limits; `side`: light from the image's right (-1) to its left (1)
    "web": {"zoom": (0.95, 1.1), "side": (-1, 1), "gain": (0.85, 1.1), "noise": (0, 5)},
    "studio": {"zoom": (1, 1), "side": (-0.5, 0.5), "gain": (1, 1), "noise": (0, 2)},
}


def random_expression(rng, expression, intensity):
    """Draw one showing of an expression (a class name), of intensity 0 (neutral) to 1 (the full prototype).

    Returns action unit -> strength in the image's left and right half, float64, (2, 1): no face is symmetric.
    """
    variants = EXPRESSIONS[expression]
    balance = 1 - rng.uniform(-0.12, 0.12) * SIDES
    prototype = variants[rng.integers(len(variants))].items()
    units = {unit: strength * intensity * rng.uniform(0.8, 1.15) * balance for unit, strength in prototype}
    stray = STRAY_UNITS[rng.integers(len(STRAY_UNITS))]
    return units | {stray: units.get(stray, 0) + rng.uniform(0.0, 0.15) * balance}


def displacements(units):
    """Sum the effects of action units: each effect that `ACTION_UNITS` names -> its amount, float64, (2, 1)."""
    total = {effect: np.zeros((2, 1)) for effects in ACTION_UNITS.values() for effect in effects}
    for unit, strength in units.items():
        for effect, amount in ACTION_UNITS[unit].items():
            total[effect] += strength * amount
    return total


def random_subject(rng, sex=None):
    """Draw a subject: sex ("F" or "M", drawn too where it is None), proportions and colours."""
    sex = sex or "FM"[rng.integers(2)]
    skin = rng.integers(len(SKINS))
    shades = slice(2 if skin >= 4 else None)  # dark skin goes with dark hair and eyes: no feature drowns in it
    colours = {"skin": SKINS[skin], "hair": rng.choice(HAIRS[shades]), "iris": rng.choice(IRISES[shades])}
    colours |= {"shirt": rng.integers(80, 180, 3), "sex": sex}
    return SimpleNamespace(**colours, **_uniform(rng, PROPORTIONS[sex] | PROPORTIONS["both"]))


def random_view(rng, framing, yaw=0.0):
    """Draw how a head is turned (by about `yaw` degrees to the image's right), framed and lit."""
    span, deviations = FRAMINGS[framing]
    yaw, pitch, roll, *shift = np.clip(rng.normal(0, 1, 5), -2.2, 2.2) * deviations + (yaw, 0, 0, 0, 0)
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    shift[0] -= 0.45 * np.sin(yaw) if framing == "web" else 0.0  # centred on the features, not on the head
    lights = _uniform(rng, LIGHTS[framing])
    return SimpleNamespace(yaw=yaw, pitch=pitch, roll=roll, shift=shift, span=span, **lights)


def _uniform(rng, limits):
    return dict(zip(limits, rng.uniform(*np.transpose(list(limits.values()))).tolist(), strict=True))


def draw_face(subject, units, view, size, background, rng):
    """Draw one face of `size` (width, height) on a `background` with noise of `rng`: RGB uint8 (height, width, 3).

    `subject`, `units` and `view` are what `random_subject`, `random_expression` and `random_view` return.
    """
    fine = 3 if size[0] <= 128 else 2  # each pixel is the mean of fine x fine drawn ones
    effects = displacements(units)
    head = Head(subject, view, 0.6 * effects["jaw"].mean(), np.multiply(size, fine))
    image = Image.new("RGB", (size[0] * fine, size[1] * fine), tuple(background))
    shape = Image.new("L", image.size)
    pen, shape_pen = ImageDraw.Draw(image, "RGBA"), ImageDraw.Draw(shape)
    for x, y, colour in _body(head):
        pen.polygon(head.pixels(x, y), tuple(colour))
    for x, y, colour in _skull(head):
        pen.polygon(head.pixels(x, y), tuple(colour))
        shape_pen.polygon(head.pixels(x, y), 255)
    for outline, colour in _on_the_face(head, effects):
        pen.polygon(outline, colour)
    # Light falls on the head from above and from one side; then the camera exposes.
    x, y = ((np.arange(size[i]) * fine - head.middle[i]) / head.scale for i in (0, 1))
    depth = np.sqrt(np.clip(1 - x**2 - (y[:, None] / 1.25) ** 2, 0, 1))
    light = np.clip(0.15 - 0.5 * view.side * x - 0.2 * y[:, None] + 0.85 * depth, 0, 1)
    shadow = np.asarray(shape.reduce(fine)) / 255 * (0.5 - 0.5 * light)
    noise = rng.normal(0, view.noise, shadow.shape)[..., None]
    pixels = np.asarray(image.reduce(fine)) * view.gain * (1 - shadow[..., None]) + noise
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


class Head:
    """The solid head of a subject in a view, its chin `drop` below its resting place; `size`: pixels."""

    def __init__(self, subject, view, drop, size):
        self.subject, self.view, self.chin = subject, view, subject.chin + drop
        self.scale = size[0] * view.zoom / view.span  # pixels of a half head width
        self.middle = size * (0.5, 0.46) + np.multiply(view.shift, self.scale)
        nose, end = subject.nose_end, self.chin
        self.profile = np.transpose([  # heights; how far the skin stands out
            (-0.3, 0.04), (-0.14, 0.02), (nose - 0.28, 0.16), (nose - 0.08, 0.29), (nose, 0.2),
            (nose + 0.07, 0.03), (0.64, 0.09), (0.72, 0.06), (0.8, 0.09), (0.9, 0.01),
            (end - 0.16, 0.06), (end - 0.06, 0.06), (end, 0),
        ])  # fmt: skip

    def place(self, v, azimuth=None, u=None, hair=False):
        """Place points, of height and azimuth (radians) or u, in the image plane: x, y, and whether they are seen.

        Skin that is turned away from us is moved to the visible edge, which clips outlines there.
        """
        up, down = (np.clip((v - TEMPLE) / (end - TEMPLE), 0, 1) for end in (CROWN, self.chin))
        radius = self.subject.width * (1 - up**2.5) ** 0.45 * (1 - down**self.subject.jaw) ** 0.59
        azimuth = np.arcsin(np.clip(u / np.maximum(radius, 1e-6), -1, 1)) if azimuth is None else azimuth
        yaw, turned = self.view.yaw, azimuth + self.view.yaw
        seen = np.abs(turned) < np.pi / 2
        if hair:
            radius = 1.07 * radius
        else:
            turned = np.clip(turned, -np.pi / 2, np.pi / 2)
            spread = np.where(v < self.subject.nose_end + 0.04, 0.13, 0.4)
            front = np.cos(turned - yaw) > 0
            bump = np.exp(-((radius * np.sin(turned - yaw) / spread) ** 2))
            radius = radius + np.interp(v, *self.profile) * bump * front
        forward = 0.62 * np.clip(1.8 * down - 0.8, 0, 1) ** 1.2  # so that a profile has a jaw
        x = (1 + 0.1 * np.abs(np.sin(turned) * np.sin(yaw))) * radius * np.sin(turned) + forward * np.sin(yaw)
        return x, v - (radius * np.cos(turned) + forward * np.cos(yaw)) * np.sin(self.view.pitch), seen

    def pixels(self, x, y):
        """Points of the image plane in pixels, in the order that Pillow takes: x0, y0, x1, ..."""
        cos, sin = np.cos(self.view.roll), np.sin(self.view.roll)
        points = self.middle + self.scale * np.stack([x * cos - y * sin, x * sin + y * cos], -1)
        return points.ravel().tolist()


def _body(head):
    """Long hair, neck and shoulders, which face us however the head is turned: x, y, colour of each outline."""
    subject, t, back = head.subject, ACROSS, -0.35 * np.sin(head.view.yaw)
    if subject.sex == "F":
        sides = np.concatenate([0.1 - np.sqrt(1 - t**2), subject.hair_end - 0.25 * t**4])
        yield 1.06 * np.concatenate([t, t[::-1]]) + back, sides, mix(subject.hair, LINE, 0.25)
    neck = subject.neck * np.array([-1, 1, 1.15, -1.15]) + back
    yield neck, np.array([0.2, 0.2, 2.2, 2.2]), mix(subject.skin, LINE, 0.3)
    shoulders = np.concatenate([1.62 + 0.42 * np.abs(t) ** 2.2, [6.0, 6.0]])
    yield np.concatenate([1.9 * t + back, [2.4, -2.4]]), shoulders, subject.shirt
    yield 1.1 * subject.neck * t + back, 1.62 + 0.2 * (1 - t**2), mix(subject.skin, LINE, 0.24)


def _skull(head):
    """Hair, the skin that it leaves free, ears: x, y, colour of each outline."""
    subject, yaw = head.subject, head.view.yaw

    def edges(v):
        """Azimuths where the hair begins: 0 above the hairline, then around the temples and behind the ears."""
        rise = np.clip((v - subject.hairline) / (-0.3 - subject.hairline), 0, 1)
        edge = np.radians(np.interp(v, (0.1, 0.3, 0.75, head.chin), (84, 112, 108, 90)))
        return (edge * rise ** (0.5 - 0.35 * side * subject.parting) for side in (-1, 1))

    v = CROWN + (0.5 - CROWN) * ROWS
    left, right = edges(v)
    # From the right edge around the back to the left one.
    x, y, _ = head.place(v, right + np.linspace(0, 1, 17) * (2 * np.pi - left - right), hair=True)
    yield *_outline(x, y), subject.hair
    v = subject.hairline + (head.chin - subject.hairline) * ROWS
    left, right = edges(v)
    x, y, _ = head.place(v, np.linspace(0, 1, 17) * (left + right) - left)
    yield *_outline(x, y), subject.skin
    for side in (-1, 1):
        if side * np.sin(yaw) < 0.35:  # else behind the head
            x = side * subject.width * np.cos(yaw) - 0.12 * np.sin(yaw)
            wide = 0.09 + 0.1 * abs(np.sin(yaw))
            for size, shade in ((1, 0.1), (0.55, 0.3)):
                x_round, y_round = x + size * wide * np.cos(CIRCLE), EARS + size * 0.24 * np.sin(CIRCLE)
                yield x_round, y_round, mix(subject.skin, LINE, shade)


def _outline(x, y):
    """The outline around rows of points: their left ends downwards, then their right ends upwards."""
    rows, left, right = np.arange(len(x)), x.argmin(1), x.argmax(1)
    return (np.concatenate([of[rows, left], of[rows, right][::-1]]) for of in (x, y))


def _on_the_face(head, effects):
    """Pixels and RGBA colour of everything drawn on the skin."""
    for feature in (_nose, _eyes, _mouth, _brows, _furrows):
        for u, v, colour, opacity in feature(head, effects):
            u, v = np.broadcast_arrays(np.atleast_2d(u), v)
            x, y, seen = head.place(v, u=u)
            for outline, alpha in enumerate(np.broadcast_to(np.ravel(opacity), len(u)) * 255):
                if alpha > 5 and seen[outline].any():
                    yield head.pixels(x[outline], y[outline]), (*colour, int(min(255, alpha)))


def line(u, v, thickness):
    """The outline of a line along (u, v), thickened across the direction from its first to its last point."""
    u, v = np.broadcast_arrays(u, v)
    across = np.stack([v[..., 0] - v[..., -1], u[..., -1] - u[..., 0]])
    across = (across / np.hypot(*across))[..., None] * thickness / 2
    return between(u - across[0], v - across[1], v + across[1], u + across[0])


def between(u, top, bottom, back=None):
    """The outline between (u, top) and (u, bottom), or (back, bottom)."""
    back = u if back is None else back
    return (np.concatenate([there, return_[..., ::-1]], -1) for there, return_ in ((u, back), (top, bottom)))


def mix(first, second, share):
    """A colour between two: `share` of the second."""
    return tuple(int(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True))


# The features: u, v, colour and opacity of each outline. With a first axis of two, one outline on either side.


def _eyes(head, effects):
    """White, iris and pupil in the opening that the lids leave, then the lids."""
    t, eye, size = ACROSS, head.subject.eye, head.subject.eye_size
    upper = np.maximum(0.1 * size + effects["lid_upper"], 0.02)
    lower = np.maximum(0.06 * size - effects["lid_lower"], 0.015 - upper)

    def lids(t):
        return EYES - 0.015 * t - upper * (1 - t**2) ** 0.75, EYES - 0.015 * t + lower * (1 - t**2)

    u, (top, bottom) = SIDES * (eye + 0.2 * size * t), lids(t)
    yield *between(u, top, bottom), TEETH, 1
    for radius, colour in ((0.1 * size, head.subject.iris), (0.048 * size, (14, 12, 12))):
        disc = radius * np.cos(CIRCLE)
        disc_v = np.clip(EYES - 0.02 + radius * np.sin(CIRCLE), *lids(disc / (0.2 * size)))
        yield SIDES * (eye + disc), disc_v, colour, 1
    glint = 0.03 + 0.018 * np.cos(CIRCLE), 0.05 + 0.018 * np.sin(CIRCLE)
    yield SIDES * eye - glint[0], EYES - glint[1], (255, 255, 255), upper > 0.08
    lash = 0.036 * np.sqrt(1 - 0.75 * t**2)
    yield *line(u, top, lash), LINE, 0.95
    yield *line(u, bottom, 0.4 * lash), LINE, 0.5
    yield *line(u, top - 0.055, 0.016), LINE, 0.3


def _brows(head, effects):
    """A quadratic curve from the inner to the outer end, tapering."""
    t, subject, knit = ALONG, head.subject, effects["brow_knit"]
    inner = subject.brow_height - effects["brow_inner"]
    outer = subject.brow_height + 0.03 - subject.brow_tilt - effects["brow_outer"]
    peak = (inner + outer) / 2 - 0.09 - 2 * effects["brow_arch"]
    v = (1 - t) ** 2 * inner + 2 * t * (1 - t) * peak + t**2 * outer
    u = SIDES * (subject.eye - 0.19 - knit + t * (0.46 + 0.7 * knit))
    yield *line(u, v, subject.brow * (1.05 - 0.75 * t**1.6)), mix(subject.hair, LINE, 0.6), 0.95


def _nose(head, effects):
    """The ridge's shadow on the side away from us, or from the light; wings and nostrils."""
    t, view, wrinkle = ALONG, head.view, effects["nose_wrinkle"].mean()
    wide, base = head.subject.nose_width * (1 + 0.15 * wrinkle), head.subject.nose_end - 0.045 * wrinkle
    shaded = 1 if (view.yaw if abs(view.yaw) > 0.15 else view.side) > 0 else -1
    v = -0.15 + (base + 0.08) * t
    yield *between(0.05 * shaded + 0 * t, v, v, shaded * (0.07 + (wide - 0.05) * t**2.2)), LINE, 0.15
    angle = np.pi * (0.97 * t - 0.35)
    wing, wing_v = wide - 0.055 + 0.065 * np.cos(angle), base - 0.02 + 0.07 * np.sin(angle)
    yield *between(SIDES * wing, wing_v, wing_v, SIDES * (wing - 0.02)), LINE, 0.4
    yield SIDES * (0.075 + 0.042 * np.cos(CIRCLE)), base + 0.035 + 0.022 * np.sin(CIRCLE), LINE, 0.7


def _mouth(head, effects):
    """Lips, and what an open mouth shows between them; `rim` is the lower edge of the upper lip."""
    t, subject = ACROSS, head.subject
    mean = {name: effects[name].mean() for name in ("upper_lip", "lower_lip", "lip_thin", "mouth_up", "jaw")}
    out, up = (np.where(t < 0, *effects[effect]) for effect in ("corner_out", "corner_up"))
    u = t * (subject.mouth_width + out)
    arch = mean["upper_lip"] + 0.3 * mean["jaw"] - 0.25 * up
    rim = MOUTH - mean["mouth_up"] - arch * (1 - t**2) - up * np.abs(t) ** 1.7
    opening = mean["lower_lip"] + mean["jaw"]
    # A raised upper lip opens the mouth further only where something opens it at all; a dropped jaw rounds it.
    gap = opening + 0.5 * mean["upper_lip"] * min(1.0, opening / 0.06)
    gaps = gap * (1 - t**2) ** (0.45 if mean["jaw"] > 0.1 else 0.6)
    full = subject.lips * (1 - 0.9 * min(mean["lip_thin"], 0.95)) * np.sqrt(1 - t**2)
    lip = mix(subject.skin, LIPS, 0.55)
    yield *between(u, rim - 0.07 * full * (1 - 0.25 * np.exp(-((t / 0.14) ** 2))), rim), mix(lip, LINE, 0.2), 1
    yield *between(u, rim + gaps, rim + gaps + 0.09 * full), lip, 1
    if gap > 0.012:
        teeth = 0.11 * (1 - 0.75 * min(1.0, mean["jaw"] / 0.24)) * gaps / gap
        yield *between(u, rim, rim + gaps), INSIDE, 1
        yield *between(0.93 * u, rim + 0.004, rim + np.minimum(teeth, 0.9 * gaps)), TEETH, 1
        yield *between(0.7 * u, rim + 0.72 * gaps, rim + 0.96 * gaps), TONGUE, gap > 0.2
    else:
        yield *line(u, rim, 0.03 * np.sqrt(1 - 0.6 * t**2)), INSIDE, 0.9
    yield *line(0.55 * u, rim + gap + 0.05 + 0.09 * full + 0.02 * t**2, 0.02), LINE, 0.2


def _furrows(head, effects):
    """The lines that contracting muscles draw on the skin, each as strong as its action unit."""
    subject, eye = head.subject, head.subject.eye
    corner_u, corner_v = subject.mouth_width + effects["corner_out"] + 0.07, MOUTH - effects["corner_up"]
    chin = 0.945 + 0.5 * effects["jaw"]
    # Effect, opacity at its full strength, first point (u, v), last point, bow across and downwards.
    for effect, opacity, (u, v), (end_u, end_v), out, down in (
        ("fold", 0.5, (subject.nose_width + 0.03, subject.nose_end - 0.05), (corner_u, corner_v), 0.07, 0),
        ("cheek", 0.4, (eye - 0.2, 0.13), (eye + 0.2, 0.11), 0, 0.03),
        *(("cheek", 0.4, (eye + 0.24, end - 0.01), (eye + 0.35, 2.5 * end), 0, 0) for end in (-0.03, 0, 0.03)),
        *(("nose_wrinkle", 0.5, (0.02, v), (0.11, v - 0.035), 0, 0) for v in (-0.17, -0.1, -0.03)),
        ("brow_knit", 5, (0.055, -0.42), (0.07, -0.22), 0, 0),
        *(("forehead", 0.3, (0, v), (0.42, v), 0, -0.02) for v in (-0.56, -0.64)),
        ("chin", 0.45, (0, chin), (0.16, chin + 0.06), 0, -0.02),
    ):
        bow = np.sin(np.pi * ALONG)
        path = SIDES * (u + (end_u - u) * ALONG + out * bow), v + (end_v - v) * ALONG + down * bow
        yield *line(*path, 0.007 + 0.017 * bow), LINE, opacity * effects[effect]
