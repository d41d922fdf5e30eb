"""Whom to draw, how held and how lit: persons, poses and light, drawn at random from one generator.

Lengths are in half head widths, heights run downwards from the middle of the head, angles are in degrees; left and
right are those of the picture.
"""

from dataclasses import dataclass

SKINS = ((250, 218, 194), (240, 200, 170), (226, 180, 146), (205, 156, 118), (178, 126, 90), (146, 100, 72))
DARK_HAIRS = ((38, 30, 28), (66, 44, 32))
HAIRS = (*DARK_HAIRS, (104, 68, 42), (150, 104, 58), (206, 168, 104), (150, 70, 40), (150, 148, 146))
IRISES = ((70, 46, 32), (96, 64, 38), (84, 100, 60), (74, 104, 132), (96, 112, 118))
HAIR_STYLES = {"F": ("long", "long", "bob", "bob", "tied"), "M": ("short", "short", "short", "shaved")}


@dataclass(frozen=True)
class Person:
    """What stays the same from picture to picture of one person."""

    sex: str
    skin: tuple
    hair: tuple
    hair_style: str
    parting: float  # where the hairline is highest, -1 (picture left) to 1
    hairline: float
    iris: tuple
    shirt: tuple
    face_width: float
    jaw: float  # 2 is pointed, 3.4 square
    chin: float  # height of the chin's end
    eye_distance: float  # of each eye from the middle
    eye_size: float
    brow_thickness: float
    brow_height: float
    brow_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    mouth_bend: float  # resting corners above (+) or below the middle
    beard: float  # opacity, 0 for none


@dataclass(frozen=True)
class Pose:
    """How the head is turned, in degrees, and where it stands in the frame."""

    yaw: float = 0.0  # to the picture's right
    pitch: float = 0.0  # upwards
    roll: float = 0.0  # clockwise
    shift: tuple = (0.0, 0.0)  # in half head widths
    zoom: float = 1.0


@dataclass(frozen=True)
class Light:
    """What the camera adds: a gradient over the picture, gain, gamma, blur (pixels) and noise (grey levels)."""

    direction: float = 0.0
    gradient: float = 0.0
    gain: float = 1.0
    gamma: float = 1.0
    blur: float = 0.0
    noise: float = 0.0


def random_person(rng, sex=None):
    """A person drawn from `rng`; `sex` is "F" or "M", drawn too where it is None."""
    sex = sex or ("F", "M")[rng.integers(2)]
    style = HAIR_STYLES[sex][rng.integers(len(HAIR_STYLES[sex]))]
    skin = SKINS[rng.integers(len(SKINS))]
    # Dark skin goes with dark hair and eyes, so that no feature drowns in the face and none looks painted on.
    dark = sum(skin) < 420
    return Person(
        sex=sex,
        skin=_jittered(rng, skin, 8),
        hair=_jittered(rng, HAIRS[rng.integers(len(DARK_HAIRS) if dark else len(HAIRS))], 8),
        hair_style=style,
        parting=rng.uniform(-0.8, 0.8),
        hairline=rng.uniform(-0.92, -0.72),
        iris=IRISES[rng.integers(2 if dark else len(IRISES))],
        shirt=_jittered(rng, (130, 134, 140), 40),
        face_width=rng.uniform(0.84, 0.97),
        jaw=rng.uniform(2.4, 3.4) if sex == "M" else rng.uniform(2.0, 2.7),
        chin=rng.uniform(1.2, 1.34),
        eye_distance=rng.uniform(0.365, 0.43),
        eye_size=rng.uniform(0.95, 1.12),
        brow_thickness=rng.uniform(0.075, 0.11) if sex == "M" else rng.uniform(0.05, 0.08),
        brow_height=rng.uniform(-0.02, 0.02),
        brow_tilt=rng.uniform(-0.02, 0.025),
        nose_width=rng.uniform(0.15, 0.21),
        nose_length=rng.uniform(-0.04, 0.04),
        mouth_width=rng.uniform(0.29, 0.37),
        lip_fullness=rng.uniform(0.75, 1.25),
        mouth_bend=rng.uniform(-0.005, 0.02),
        beard=rng.uniform(0.15, 0.35) if sex == "M" and rng.random() < 0.25 else 0.0,
    )


def web_pose(rng):
    """A pose as in cropped pictures from the web (FER-2013): mostly frontal, loosely framed."""
    return Pose(
        yaw=_bounded(rng, 16, 40),
        pitch=_bounded(rng, 6, 14),
        roll=_bounded(rng, 7, 18),
        shift=(_bounded(rng, 0.07, 0.16), _bounded(rng, 0.07, 0.16)),
        zoom=rng.uniform(0.86, 1.12),
    )


def web_light(rng):
    """Light and camera as in pictures from the web."""
    return Light(
        direction=rng.uniform(0, 360),
        gradient=rng.uniform(0, 0.4),
        gain=rng.uniform(0.72, 1.05),
        gamma=rng.uniform(0.75, 1.35),
        blur=max(0.0, rng.uniform(-0.5, 0.6)),
        noise=rng.uniform(0.5, 7),
    )


def studio_pose(rng, yaw):
    """A pose as in a studio series (KDEF): one of its angles, the head held nearly still."""
    return Pose(
        yaw=yaw + rng.normal(0, 2),
        pitch=rng.normal(0, 1.5),
        roll=rng.normal(0, 1.5),
        shift=tuple(rng.normal(0, 0.04, 2)),
        zoom=rng.uniform(0.97, 1.03),
    )


def studio_light(rng):
    """Light and camera as in a studio series: even, with a little noise."""
    return Light(
        direction=rng.uniform(0, 360),
        gradient=rng.uniform(0, 0.12),
        gain=rng.uniform(0.93, 1.03),
        gamma=rng.uniform(0.93, 1.07),
        noise=rng.uniform(0.5, 2.5),
    )


def _bounded(rng, deviation, limit):
    return min(max(rng.normal(0, deviation), -limit), limit)


def _jittered(rng, colour, spread):
    return tuple(int(channel) for channel in (colour + rng.integers(-spread, spread + 1, 3)).clip(0, 255))
