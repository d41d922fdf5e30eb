"""Numbers and names as every table, axis, caption and sentence shows them."""

from functools import partial

import pandas as pd

from fer_lib.errors import ParameterError
from fer_lib.variants import Variant

DATASET_NAMES = {
    "fer2013": "FER-2013", "ferplus": "FER-2013 with the labels of FER+", "kdef": "KDEF", "folders": "own images",
    "synthetic": "generated faces",
}  # fmt: skip
# BinaryAccuracy of seven one-hot outputs of which none exceeds one half: the all-negative baseline.
BINARY_FLOOR = 6 / 7
MISSING = "–"


def percent(fraction, digits=1):
    """A fraction as a percentage: 0.635 is `63.5 %`; `–` where it is missing."""
    return MISSING if pd.isna(fraction) else f"{100 * fraction:.{digits}f} %".replace("-", "−")


def points(fraction, digits=1):
    """A difference of fractions in percentage points with its sign: −0.015 is `−1.5`; `–` where it is missing."""
    if pd.isna(fraction):
        return MISSING
    text = f"{100 * fraction:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def interval(low, high, form=points):
    """Two limits in one form: `−1.5 to +4.4`, or with `percent` `61.0 % to 65.9 %`; `–` where one is missing."""
    return MISSING if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}"


def p_value(p):
    """A p-value with two significant digits: `0.28`, `1`, `< 0.001`; `–` where it is missing."""
    return MISSING if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def count(number):
    """A whole number with thousands separated: `22,968`; `–` where it is missing."""
    return MISSING if pd.isna(number) else f"{round(number):,}"


def whole(number):
    """A whole number as it is, such as a seed or an epoch; `–` where it is missing."""
    return MISSING if pd.isna(number) else f"{round(number)}"


def decimals(digits):
    """A form that shows so many decimals with a true minus sign and thousands separated."""
    return lambda number: MISSING if pd.isna(number) else f"{number:,.{digits}f}".replace("-", "−")


def network(name):
    """The label of a variant's name: `resnet50v2-nl3` is `stage 3`; other text as it is."""
    try:
        return Variant.from_name(name).label
    except ParameterError:
        return str(name)


def _bare_percent(fraction, digits=1):
    return percent(fraction, digits).removesuffix(" %")


def _words(value):
    return {"True": "yes", "False": "no"}.get(str(value), str(value))


def _number(value):
    """Four significant digits of whatever has no form of its own."""
    return count(value) if float(value).is_integer() else f"{value:.4g}".replace("-", "−")


def _spread(fraction, digits=1):
    """A size in percentage points, which has no sign."""
    return points(fraction, digits).removeprefix("+")


# Column of a table -> its header, with the unit, and the form of its cells.
COLUMNS = {
    "variant": ("network", network), "baseline": ("baseline", network), "seed": ("seed", whole),
    "seeds": ("seeds", whole), "epoch": ("epoch", whole), "n": ("images", count),
    "n_correct": ("correct images", count), "support": ("images of the class", count),
    "accuracy": ("accuracy (%)", _bare_percent), "binary_accuracy": ("BinaryAccuracy (%)", _bare_percent),
    "baseline_accuracy": ("accuracy of the baseline (%)", _bare_percent),
    "majority_share": ("commonest class (%)", _bare_percent),
    "macro_recall": ("mean recall (%)", _bare_percent), "macro_f1": ("mean F1 (%)", _bare_percent),
    "precision": ("precision (%)", _bare_percent), "recall": ("recall (%)", _bare_percent),
    "f1": ("F1 (%)", _bare_percent), "share": ("share (%)", _bare_percent),
    "baseline_share": ("share, baseline (%)", _bare_percent),
    "changed": ("predictions changed (%)", _bare_percent),
    "discordance": ("discordant images (%)", _bare_percent), "ece": ("ECE", decimals(3)),
    "sd": ("SD over seeds (pp)", _spread), "seed_sd": ("SD over seeds (pp)", _spread),
    "difference": ("difference (pp)", points),
    "standard_error": ("standard error (pp)", partial(_spread, digits=2)), "df": ("degrees of freedom", _number),
    "p_value": ("p", p_value), "p_holm": ("p (Holm-adjusted)", p_value),
    "mde": ("MDE at 80 % power (pp)", _spread), "true_class": ("true class", _words),
    "predicted_class": ("predicted class", _words), "distance": ("attention distance (px)", decimals(1)),
    "uniform_distance": ("distance of uniform attention (px)", decimals(1)),
    "entropy": ("normalised entropy", decimals(3)), "relative_update": ("relative update norm (%)", _bare_percent),
    "trainable_parameters": ("trainable parameters", count), "parameters": ("parameters", count),
    "macs": ("MACs", count), "attention_macs": ("MACs between positions", count),
    "activation_bytes": ("activation memory (B)", count), "attention_bytes": ("attention maps (B)", count),
    "added_trainable_parameters": ("parameters added", count), "added_macs": ("MACs added", count),
    "added_attention_macs": ("MACs between positions added", count),
    "added_attention_bytes": ("attention maps added (B)", count),
    "added_activation_bytes": ("activation memory added (B)", count),
    "reported": ("reported (%)", partial(_bare_percent, digits=2)), "above_floor": ("above 6/7 (pp)", points),
    "if_confident": ("accuracy if confident (%)", _bare_percent), "seen": ("median here (%)", _bare_percent),
    "seen_low": ("lowest (%)", _bare_percent), "seen_high": ("highest (%)", _bare_percent),
    "epochs": ("epochs here", whole), "images_needed": ("images needed", count), "z": ("z", decimals(1)),
}  # fmt: skip
# Limits of an interval, `<name>_low` and `<name>_high` -> their header; the unit is that of the value beside it.
LIMITS = {
    "ci": "95 % CI", "simultaneous": "simultaneous 95 % CI", "pairwise": "pairwise 95 % CI",
    "precision": "95 % CI of precision", "recall": "95 % CI of recall", "f1": "95 % CI of F1",
    "difference": "95 % CI of the difference",
}  # fmt: skip


def readable(table):
    """Return a table as a reader sees it, of str: headers with units, limits as one interval, one form of numbers.

    `table`: a DataFrame, rates and differences as fractions; the order of its columns stays.
    """
    columns, shown = set(table.columns), {}
    for name in table.columns:
        limits, _, end = str(name).rpartition("_")
        if limits in LIMITS and end in ("low", "high") and {f"{limits}_low", f"{limits}_high"} <= columns:
            is_rate = limits in ("precision", "recall", "f1") or (limits == "ci" and "difference" not in columns)
            form, unit = (_bare_percent, "%") if is_rate else (points, "pp")
            pairs = zip(table[f"{limits}_low"], table[f"{limits}_high"], strict=True)
            shown[f"{LIMITS[limits]} ({unit})"] = [interval(*pair, form) for pair in pairs]
        else:
            default = _number if is_numeric(table[name]) else _words
            header, form = COLUMNS.get(name, (str(name).replace("_", " "), default))
            cells = zip(table[name], table[name].isna(), strict=True)
            shown[header] = [MISSING if is_missing else form(value) for value, is_missing in cells]
    return type(table)(shown)


def is_numeric(column):
    """Whether a column of a DataFrame holds numbers (booleans are words)."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
