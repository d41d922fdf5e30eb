"""The seven expressions as action units of the Facial Action Coding System (Ekman, Friesen and Hager, 2002).

==========  ====================================================================================
angry       4 brow lowerer, 5 upper lid, 7 lid tightener, 23 or 24 lips tightened or pressed
disgust     9 nose wrinkler, 10 upper lip raiser, 15 or 16 lip corners or lower lip down
fear        1 + 2 + 4 brows raised and drawn together, 5 upper lid, 20 lip stretcher, 25 or 26
happy       6 cheek raiser, 12 lip corner puller, lips closed, parted (25) or open (26)
neutral     none
sad         1 + 4 inner brows raised and drawn together, 15 lip corner depressor, 17 chin raiser
surprise    1 + 2 brows raised, 5 upper lid, 26 or 27 jaw dropped
==========  ====================================================================================
"""

# What each action unit does to the drawn face at full strength, in half head widths:
#   upwards: brow_inner, brow_outer, brow_arch, lid_upper, lid_lower (over the eye), upper_lip, corner_up, mouth_up
#   downwards: lower_lip, jaw; towards the nose: brow_knit; away from it: corner_out
#   shares of 1: lip_thin (how far the lips are rolled in), and the furrows cheek, nose_wrinkle, fold (beside the
#   mouth), forehead and chin_boss.
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
    17: {"chin_boss": 1.0, "mouth_up": 0.06},  # chin raiser
    20: {"corner_out": 0.15, "corner_up": -0.05, "lower_lip": 0.03},  # lip stretcher
    23: {"lip_thin": 0.55, "corner_out": -0.05},  # lip tightener
    24: {"lip_thin": 0.75, "corner_out": -0.07},  # lip pressor
    25: {"upper_lip": 0.04, "lower_lip": 0.08},  # lips part
    26: {"jaw": 0.3, "corner_out": -0.09},  # jaw drop
    27: {"jaw": 0.42, "corner_out": -0.11},  # mouth stretch
}

# The prototypes of the field (EMFACS) and their common variants: action unit -> strength at full intensity.
EXPRESSIONS = {
    "angry": (
        {4: 1.0, 5: 0.5, 7: 0.8, 23: 1.0},
        {4: 1.0, 5: 0.4, 7: 0.8, 24: 1.0, 17: 0.7},
        {4: 1.0, 5: 0.7, 7: 0.7, 10: 0.3, 16: 0.8, 25: 0.7},
    ),
    "disgust": (
        {9: 1.0, 10: 0.9, 15: 0.5, 17: 0.7},
        {9: 1.0, 10: 1.0, 16: 0.4, 25: 0.5},
        {9: 1.0, 10: 1.0, 15: 0.3},
    ),
    "fear": (
        {1: 1.0, 2: 0.5, 4: 0.6, 5: 1.0, 20: 1.0, 25: 1.0},
        {1: 1.0, 2: 0.5, 4: 0.6, 5: 1.0, 20: 1.0, 26: 0.5},
        {1: 0.9, 2: 0.4, 4: 0.7, 5: 0.9, 20: 1.0, 16: 0.6},
    ),
    "happy": (
        {6: 1.0, 12: 1.0},
        {6: 1.0, 12: 1.0, 25: 1.0},
        {6: 0.9, 12: 1.0, 25: 1.0, 26: 0.4},
    ),
    "neutral": ({},),
    "sad": (
        {1: 1.0, 4: 0.45, 15: 1.0, 7: 0.3},
        {1: 1.0, 4: 0.45, 15: 0.9, 17: 0.9, 7: 0.3},
        {1: 0.9, 4: 0.5, 15: 1.0, 25: 0.3},
    ),
    "surprise": (
        {1: 1.0, 2: 1.0, 5: 0.8, 26: 1.0},
        {1: 1.0, 2: 1.0, 5: 1.0, 27: 0.9},
        {1: 1.0, 2: 1.0, 5: 0.6, 26: 0.7},
    ),
}

# A little of one of these is in every showing, expression or not.
STRAY_UNITS = (1, 2, 4, 5, 6, 7, 10, 12, 15, 17, 20, 23)


def random_expression(rng, expression, intensity):
    """Action units of one showing of `expression`.

    Args:
        rng: numpy.random.Generator.
        expression: one of the seven class names.
        intensity: 0 (nothing shows) to 1 (the full prototype).

    Returns:
        Two dictionaries, the picture's left and right half: action unit -> strength. No face is quite symmetric,
        nor does a person contract every muscle to the same degree; a neutral face is never quite still either.
    """
    variants = EXPRESSIONS[expression]
    units = {unit: strength * intensity for unit, strength in variants[rng.integers(len(variants))].items()}
    units = {unit: strength * rng.uniform(0.8, 1.15) for unit, strength in units.items()}
    stray = STRAY_UNITS[rng.integers(len(STRAY_UNITS))]
    units[stray] = units.get(stray, 0.0) + rng.uniform(0.0, 0.15)
    balance = rng.uniform(-0.12, 0.12)
    return (
        {unit: strength * (1 + balance) for unit, strength in units.items()},
        {unit: strength * (1 - balance) for unit, strength in units.items()},
    )


def displacements(units):
    """Sums the effects of action units: each effect named in `ACTION_UNITS` -> its amount, 0.0 where none acts."""
    total = dict.fromkeys((key for effects in ACTION_UNITS.values() for key in effects), 0.0)
    for unit, strength in units.items():
        for key, amount in ACTION_UNITS[unit].items():
            total[key] += strength * amount
    return total
