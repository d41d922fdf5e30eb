"""Eyes, brows, nose, mouth and furrows: where the action units show.

A `shape` is what `expressions.displacements` returns for the picture's left or right half, `side` is -1 or 1.
Lengths are in half head widths, heights run downwards from the middle of the head.
"""

import numpy as np

from fer_lib.datasets.synthetic.pen import mix, tone

ACROSS = np.linspace(-1.0, 1.0, 25)  # along a mouth or an eye, corner to corner
ALONG = np.linspace(0.0, 1.0, 13)  # along a brow or a furrow
ANGLES = np.linspace(0.0, 2 * np.pi, 28)  # around a disc
EYE_HEIGHT, BROW_HEIGHT, NOSE_HEIGHT, MOUTH_HEIGHT = -0.02, -0.32, 0.41, 0.74
WHITE, PUPIL, LASHES = (244, 242, 238), (14, 12, 12), (30, 22, 22)
LIPS, LIP_LINE = (150, 52, 56), (70, 26, 26)
MOUTH_INSIDE, TEETH, TONGUE = (52, 18, 20), (240, 236, 226), (176, 84, 84)


def draw_eye(pen, side, shape):
    """White, iris and pupil in the opening that the lids leave, then the lids themselves."""
    person, t = pen.person, ACROSS
    size, skin = person.eye_size, person.skin
    u = side * (person.eye_distance + 0.2 * size * t)  # from the inner to the outer corner
    corners = EYE_HEIGHT - 0.015 * t
    upper = max(0.1 * size + shape["lid_upper"], 0.02)
    lower = max(0.06 * size - shape["lid_lower"], 0.015 - upper)
    top = corners - upper * (1 - t**2) ** 0.75
    bottom = corners + lower * (1 - t**2)
    pen.between(u, top, bottom, WHITE)
    _draw_disc(pen, (u, top, bottom), 0.098 * size, person.iris)
    _draw_disc(pen, (u, top, bottom), 0.046 * size, PUPIL)
    if upper + lower > 0.07:
        glint = side * person.eye_distance - 0.03 + 0.02 * np.array([-1, 1])
        pen.between(glint, np.full(2, EYE_HEIGHT - 0.065), np.full(2, EYE_HEIGHT - 0.025), (255, 255, 255))
    line = 0.034 * np.sqrt(1 - 0.75 * t**2)
    pen.stroke(u, top, line, LASHES, 0.95)
    pen.stroke(u, bottom, 0.4 * line, tone(skin, 0.45), 0.8)
    pen.stroke(u, top - 0.055, 0.016, tone(skin, 0.55), 0.6)


def _draw_disc(pen, opening, radius, colour):
    """A disc in the middle of an eye: its outline, moved onto the lid wherever the lid covers it."""
    u, top, bottom = opening
    order = np.argsort(u)  # np.interp wants rising positions
    disc_u = u[len(u) // 2] + radius * np.cos(ANGLES)
    disc_v = EYE_HEIGHT - 0.02 + radius * np.sin(ANGLES)
    highest = np.interp(disc_u, u[order], top[order])
    lowest = np.maximum(highest, np.interp(disc_u, u[order], bottom[order]))
    pen.fill(disc_u, np.clip(disc_v, highest, lowest), colour)


def draw_brow(pen, side, shape):
    """A brow: a quadratic curve from its inner to its outer end, tapering."""
    person, t = pen.person, ALONG
    height = BROW_HEIGHT - person.brow_height
    inner = height - shape["brow_inner"]
    outer = height + 0.03 - person.brow_tilt - shape["brow_outer"]
    peak = (inner + outer) / 2 - 0.09 - 2 * shape["brow_arch"]
    v = (1 - t) ** 2 * inner + 2 * t * (1 - t) * peak + t**2 * outer
    knit = shape["brow_knit"]
    u = side * (person.eye_distance - 0.19 - knit + t * (0.46 + 0.7 * knit))
    colour = mix(tone(person.hair, 0.8), (50, 36, 30), 0.55)
    pen.stroke(u, v, person.brow_thickness * (1.05 - 0.75 * t**1.6), colour, 0.95)


def draw_nose(pen, shapes, side_light):
    """The shadow of the ridge on the side away from us (or from the light), wings and nostrils."""
    person, t = pen.person, ALONG
    skin, yaw = person.skin, pen.head.pose.yaw
    wrinkle = (shapes[0]["nose_wrinkle"] + shapes[1]["nose_wrinkle"]) / 2
    wide = person.nose_width * (1 + 0.15 * wrinkle)
    base = NOSE_HEIGHT + person.nose_length - 0.045 * wrinkle
    shaded = 1 if (yaw if abs(yaw) > 8 else side_light) > 0 else -1
    ridge = 0.05 * shaded * np.ones_like(t), -0.15 + (base + 0.08) * t
    edge = shaded * (0.07 + (wide - 0.05) * t**2.2), ridge[1]
    pen.fill(*_closed(ridge, edge), tone(skin, 0.72), 0.45)
    wing = np.linspace(-0.35 * np.pi, 0.62 * np.pi, 13)
    for side in (-1, 1):
        wing_u = side * (wide - 0.055 + 0.065 * np.cos(wing))
        pen.stroke(wing_u, base - 0.02 + 0.07 * np.sin(wing), 0.02, tone(skin, 0.5), 0.75)
        nostril = side * (0.075 + 0.042 * np.cos(ANGLES)), base + 0.035 + 0.022 * np.sin(ANGLES)
        pen.fill(*nostril, tone(skin, 0.32), 0.9)


def _closed(there, back):
    return tuple(np.concatenate([first, second[::-1]]) for first, second in zip(there, back, strict=True))


def draw_mouth(pen, shapes):
    """Lips, and what an open mouth shows between them: `line` is the lower edge of the upper lip."""
    person, t = pen.person, ACROSS
    left, right = shapes
    both = {effect: (left[effect] + right[effect]) / 2 for effect in left}
    u = t * (person.mouth_width + np.where(t < 0, left["corner_out"], right["corner_out"]))
    rise = np.where(t < 0, left["corner_up"], right["corner_up"]) + person.mouth_bend
    arch = both["upper_lip"] + 0.3 * both["jaw"] - 0.25 * rise
    line = MOUTH_HEIGHT - both["mouth_up"] - arch * (1 - t**2) - rise * np.abs(t) ** 1.7
    opening = both["lower_lip"] + both["jaw"]
    # A raised upper lip opens the mouth further only where something opens it at all.
    gap = opening + 0.5 * both["upper_lip"] * min(1.0, opening / 0.06)
    # A dropped jaw rounds the mouth.
    gaps = gap * (1 - t**2) ** (0.45 if both["jaw"] > 0.1 else 0.6)
    full = person.lip_fullness * (1 - 0.9 * min(both["lip_thin"], 0.95))
    round_off = np.sqrt(1 - t**2)
    cupid_bow = 1 - 0.25 * np.exp(-((t / 0.14) ** 2))
    lip = mix(person.skin, LIPS, 0.55)
    pen.between(u, line - 0.07 * full * round_off * cupid_bow, line, tone(lip, 0.82))
    pen.between(u, line + gaps, line + gaps + 0.09 * full * round_off, tone(lip, 0.98))
    if gap > 0.012:
        _draw_opening(pen, u, line, gaps, both["jaw"])
    else:
        pen.stroke(u, line, 0.03 * np.sqrt(1 - 0.6 * t**2), LIP_LINE, 0.9)
    pen.stroke(0.55 * u, line + gaps + 0.09 * full + 0.05 + 0.02 * t**2, 0.02, tone(person.skin, 0.6), 0.4)


def _draw_opening(pen, u, line, gaps, jaw):
    """Teeth fill a narrow opening; a dropped jaw hides most of them and shows the tongue."""
    pen.between(u, line, line + gaps, MOUTH_INSIDE)
    teeth = 0.11 * (1 - 0.75 * min(1.0, jaw / 0.24))
    teeth = np.minimum(teeth * gaps / gaps.max(), 0.9 * gaps)
    pen.between(0.93 * u, line + 0.004, line + teeth, TEETH)
    if gaps.max() > 0.2:
        pen.between(0.7 * u, line + 0.72 * gaps, line + 0.96 * gaps, TONGUE)


def draw_furrows(pen, side, shape):
    """The lines that contracting muscles draw on the skin, each as strong as its action unit."""
    person, t = pen.person, ALONG
    ink, eye = tone(person.skin, 0.5), person.eye_distance
    thin = 0.022 * np.sin(np.pi * (0.1 + 0.8 * t))
    # Beside the mouth: from the wing of the nose around the corner of the mouth.
    wing_u, wing_v = side * (person.nose_width + 0.03), 0.36 + person.nose_length
    corner_u = side * (person.mouth_width + shape["corner_out"] + 0.07)
    fold_u = wing_u + (corner_u - wing_u) * t + 0.07 * side * np.sin(np.pi * t)
    fold_v = wing_v + (MOUTH_HEIGHT - shape["corner_up"] - wing_v) * t
    pen.stroke(fold_u, fold_v, 1.2 * thin, ink, 0.75 * shape["fold"])
    # Raised cheeks: a pouch under the eye and crow's feet beside it.
    pouch_v = 0.13 + 0.03 * np.sin(np.pi * t) - 0.02 * t
    pen.stroke(side * (eye + 0.2 * (2 * t - 1)), pouch_v, thin, ink, 0.6 * shape["cheek"])
    for slope in (-0.06, 0.0, 0.06):
        foot_v = EYE_HEIGHT + 0.01 + slope * (0.4 + t)
        pen.stroke(side * (eye + 0.24 + 0.11 * t), foot_v, 0.7 * thin, ink, 0.6 * shape["cheek"])
    # A wrinkled nose, brows knit, a raised forehead, a raised chin.
    for height in (-0.17, -0.1, -0.03):
        pen.stroke(side * (0.02 + 0.09 * t), height - 0.035 * t, thin, ink, 0.75 * shape["nose_wrinkle"])
    pen.stroke(side * (0.055 + 0.015 * t), -0.42 + 0.2 * t, thin, ink, 0.75 * shape["brow_knit"] / 0.09)
    for height in (-0.56, -0.64):
        pen.stroke(side * 0.42 * t, height - 0.02 * np.sin(np.pi * t), thin, ink, 0.5 * shape["forehead"])
    boss_v = 0.945 + 0.5 * shape["jaw"] + 0.06 * t**2
    pen.stroke(side * 0.16 * t, boss_v, thin, ink, 0.7 * shape["chin_boss"])
