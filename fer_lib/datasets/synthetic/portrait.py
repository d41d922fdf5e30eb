"""Draws one face: NumPy for the geometry, Pillow for the polygons, supersampled and then averaged down."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_lib.datasets.synthetic.expressions import displacements
from fer_lib.datasets.synthetic.features import draw_brow, draw_eye, draw_furrows, draw_mouth, draw_nose
from fer_lib.datasets.synthetic.head import CROWN, Head
from fer_lib.datasets.synthetic.pen import Pen, mix, tone

ACROSS = np.linspace(-1.0, 1.0, 25)
ANGLES = np.linspace(0.0, 2 * np.pi, 28)
# Pixels of a half head width, as a share of the picture's width, and the height of the head's middle.
FRAMINGS = {"web": (1 / 2.25, 0.46), "studio": (1 / 2.75, 0.47)}
HAIR_THICKNESS = {"shaved": 0.01, "tied": 0.03, "short": 0.07, "bob": 0.1, "long": 0.1}


def draw_face(person, units, pose, size, framing="web", background=(190, 190, 186), side_light=0.0):
    """Draws one face.

    Args:
        person: `people.Person`.
        units: action units of the picture's left and right half, as `expressions.random_expression` returns them.
        pose: `people.Pose`.
        size: (width, height) of the picture in pixels.
        framing: "web" (the features fill the picture) or "studio" (head and shoulders).
        background: RGB, 0 to 255.
        side_light: -1 (the face is in shadow on the picture's left) to 1 (on its right).

    Returns:
        PIL image, mode RGB.
    """
    fine = 4 if size[0] <= 128 else 2  # each pixel is the mean of fine x fine drawn ones
    width, height = size[0] * fine, size[1] * fine
    share, middle = FRAMINGS[framing]
    scale = share * width
    # A picture from the web is cropped around the features, a portrait around the person.
    lead = 0.45 * np.sin(np.radians(pose.yaw)) if framing == "web" else 0.0
    centre = (width / 2 + (pose.shift[0] - lead) * scale, height * middle + pose.shift[1] * scale)
    left, right = shapes = tuple(displacements(half) for half in units)
    head = Head(person, pose, 0.3 * (left["jaw"] + right["jaw"]), centre, scale * pose.zoom)
    image = Image.new("RGB", (width, height), background)
    pen = Pen(head, ImageDraw.Draw(image, "RGBA"))
    _draw_body(pen)
    _draw_head(pen, side_light)
    draw_eye(pen, -1, left)
    draw_eye(pen, 1, right)
    draw_nose(pen, shapes, side_light)
    draw_mouth(pen, shapes)
    for side, shape in ((-1, left), (1, right)):
        draw_brow(pen, side, shape)
        draw_furrows(pen, side, shape)
    return image.reduce(fine)


def expose(image, light, rng):
    """What a camera makes of a drawn picture.

    Args:
        image: PIL image, mode RGB or L.
        light: `people.Light`.
        rng: numpy.random.Generator of the noise.

    Returns:
        uint8 array, (height, width, 3) or (height, width).
    """
    if light.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(light.blur))
    pixels = np.asarray(image, np.float32) / 255
    height, width = pixels.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    angle = np.radians(light.direction)
    field = light.gain * (1 + light.gradient * (x * np.cos(angle) + y * np.sin(angle)))
    noise = rng.standard_normal((height, width), np.float32) * (light.noise / 255)
    if pixels.ndim == 3:
        field, noise = field[..., None], noise[..., None]
    pixels = np.clip(pixels * field, 0, 1) ** light.gamma + noise
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _draw_body(pen):
    """Long hair behind, neck and shoulders: facing us always, shifted a little against a turned head."""
    person, head, x = pen.person, pen.head, ACROSS
    back = -0.35 * np.sin(np.radians(head.pose.yaw))
    if person.hair_style in ("long", "bob"):
        _draw_loose_hair(pen, back, bottom=2.1 if person.hair_style == "long" else 1.1)
    if person.hair_style == "tied":
        bun = head.flat(1.6 * back + 0.3 * np.cos(ANGLES), -1.42 + 0.3 * np.sin(ANGLES))
        pen.polygon(bun, tone(person.hair, 0.9))
    neck = (0.5 if person.sex == "F" else 0.62) * np.array([-1, 1, 1.15, -1.15])
    pen.polygon(head.flat(neck + back, [0.2, 0.2, 2.2, 2.2]), tone(person.skin, 0.74))
    shoulders = head.flat(1.9 * x + back, 1.62 + 0.42 * np.abs(x) ** 2.2)
    pen.polygon(np.concatenate([shoulders, head.flat([2.4, -2.4], 6.0)]), person.shirt)
    pen.polygon(head.flat(0.66 * x + 0.8 * back, 1.58 + 0.26 * (1 - x**2)), tone(person.skin, 0.8))


def _draw_loose_hair(pen, back, bottom):
    x = np.concatenate([ACROSS, ACROSS[::-1]])
    y = np.concatenate([0.1 - np.sqrt(1 - ACROSS**2), bottom - 0.25 * ACROSS**4])
    pen.polygon(pen.head.flat(1.06 * x + back, y), tone(pen.person.hair, 0.8))


def _draw_head(pen, side_light):
    bare_ears = pen.person.hair_style not in ("bob", "long")
    turned = abs(pen.head.pose.yaw) >= 25
    if bare_ears and not turned:
        _draw_ears(pen)
    _draw_skin(pen, side_light)
    if pen.person.beard:
        _draw_beard(pen)
    _draw_hair(pen, bare_ears)
    if bare_ears and turned:
        _draw_ears(pen)


def _draw_skin(pen, side_light):
    head, skin = pen.head, pen.person.skin
    v = head.heights(CROWN, head.chin)
    # The skin ends behind the ear, and from there forward along the jaw.
    edge = np.interp(v, (0.5, 0.75, head.chin), (112, 108, 90))
    pen.polygon(head.band(v, -edge, edge), skin)
    for start in (28, 48):
        shadow = (start, edge) if side_light > 0 else (-edge, -start)
        pen.polygon(head.band(v, *shadow), tone(skin, 0.7), 0.3 * abs(side_light))


def _draw_beard(pen):
    person, head = pen.person, pen.head
    cheeks, chin = head.heights(0.2, 0.57), head.heights(0.57, head.chin)
    edge = np.interp(cheeks, (0.2, 0.48, 0.57), (80, 55, 0))
    for band in ((cheeks, -88, -edge), (cheeks, edge, 88), (chin, -88, 88)):
        pen.polygon(head.band(*band), person.hair, person.beard)


def _draw_hair(pen, bare_ears):
    person, head = pen.person, pen.head
    colour = mix(person.skin, person.hair, 0.55) if person.hair_style == "shaved" else person.hair
    v = head.heights(CROWN, 0.55 if bare_ears else 0.95)
    # Azimuth where the hair begins: 0 above the hairline, then around the temples to the ear or the cheek.
    rise = np.clip((v - person.hairline) / (-0.3 - person.hairline), 0, 1)
    edge = np.interp(v, (0.1, 0.3), (84, 112)) if bare_ears else 70
    for side in (-1, 1):
        start = edge * rise ** (0.5 - side * 0.35 * person.parting)
        ends = (start, 180) if side > 0 else (-180, -start)
        pen.polygon(head.hair(v, *ends, HAIR_THICKNESS[person.hair_style]), colour)


def _draw_ears(pen):
    yaw, roll = np.radians(pen.head.pose.yaw), np.radians(pen.head.pose.roll)
    for side in (-1, 1):
        if side * np.sin(yaw) > 0.35:
            continue  # behind the head
        middle = side * pen.person.face_width * np.cos(yaw) - 0.12 * np.sin(yaw)
        x = middle + (0.09 + 0.1 * abs(np.sin(yaw))) * np.cos(ANGLES)
        y = 0.14 + 0.24 * np.sin(ANGLES)
        ear = pen.head.flat(x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll))
        pen.polygon(ear, tone(pen.person.skin, 0.86))
        pen.polygon(ear.mean(0) + 0.55 * (ear - ear.mean(0)), tone(pen.person.skin, 0.68))
