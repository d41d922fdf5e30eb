"""The seven expressions as action units of the Facial Action Coding System (Ekman, Friesen and Hager, 2002)."""

import numpy as np

# Action unit -> what it does to the drawn face at full strength. In half head widths:
#   upwards: brow_inner, brow_outer, brow_arch, lid_upper, lid_lower (over the eye), upper_lip, corner_up, mouth_up
#   downwards: lower_lip, jaw; towards the nose: brow_knit; away from it: corner_out
# As shares of 1: lip_thin (lips rolled in), and the furrows cheek, nose_wrinkle, fold (beside the mouth), forehead
# and chin.
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


def random_expression(rng, expression, intensity):
    """Draw one showing of an expression (a class name), of intensity 0 (neutral) to 1 (the full prototype).

    Returns a dictionary, action unit -> strength in the image's left and right half, float64, (2, 1): no face is
    quite symmetric, nor is every muscle contracted to the same degree.
    """
    variants = EXPRESSIONS[expression]
    balance = 1 + rng.uniform(-0.12, 0.12) * np.array([[1.0], [-1.0]])
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
