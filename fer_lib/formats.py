"""Numbers and names as every table, axis, caption and sentence shows them."""

import math

from fer_lib.errors import ParameterError
from fer_lib.variants import Variant

DATASET_NAMES = {
    "fer2013": "FER-2013",
    "ferplus": "FER-2013 with the labels of FER+",
    "kdef": "KDEF",
    "folders": "own images",
    "synthetic": "generated faces",
}
# BinaryAccuracy of seven one-hot outputs of which none exceeds one half: the all-negative baseline.
BINARY_FLOOR = 6 / 7
MISSING = "–"


def percent(fraction, digits=1):
    """A fraction as a percentage: 0.635 is `63.5 %`; `–` where it is missing."""
    return MISSING if _is_missing(fraction) else f"{100 * fraction:.{digits}f} %".replace("-", "−")


def points(fraction, digits=1):
    """A difference of fractions in percentage points with its sign: −0.015 is `−1.5`; `–` where it is missing."""
    if _is_missing(fraction):
        return MISSING
    text = f"{100 * fraction:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def interval(low, high, form=points):
    """Two limits in one form: `−1.5 to +4.4`, or with `percent` `61.0 % to 65.9 %`; `–` where one is missing."""
    return MISSING if _is_missing(low) or _is_missing(high) else f"{form(low)} to {form(high)}"


def p_value(p):
    """A p-value with two significant digits: `0.28`, `1`, `< 0.001`; `–` where it is missing."""
    if _is_missing(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def count(number):
    """A whole number with thousands separated: `22,968`; `–` where it is missing."""
    return MISSING if _is_missing(number) else f"{round(number):,}"


def _is_missing(value):
    return value is None or bool(value != value)  # NaN alone differs from itself


def whole(number):
    """A whole number as it is, such as a seed or an epoch; `–` where it is missing."""
    return MISSING if _is_missing(number) else f"{round(number)}"


def decimals(digits):
    """A form that shows so many decimals with a true minus sign and thousands separated."""
    return lambda number: MISSING if _is_missing(number) else f"{number:,.{digits}f}".replace("-", "−")


def network(name):
    """The label of a variant's name: `resnet50v2-nl3` is `stage 3`; other text as it is."""
    try:
        return Variant.from_name(name).label
    except ParameterError:
        return str(name)


def _bare_percent(fraction):
    return percent(fraction).removesuffix(" %")


def _words(value):
    if str(value) in ("True", "False"):  # NumPy's and pandas' booleans too
        return "yes" if str(value) == "True" else "no"
    return MISSING if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _number(value):
    """Four significant digits of whatever has no form of its own."""
    if _is_missing(value):
        return MISSING
    return count(value) if float(value).is_integer() else f"{value:.4g}".replace("-", "−")


# Column of a table -> its header, with the unit, and the form of its cells.
COLUMNS = {
    "variant": ("network", network),
    "baseline": ("baseline", network),
    "seed": ("seed", whole),
    "seeds": ("seeds", whole),
    "epoch": ("epoch", whole),
    "n": ("images", count),
    "n_correct": ("correct images", count),
    "support": ("images of the class", count),
    "accuracy": ("accuracy (%)", _bare_percent),
    "baseline_accuracy": ("accuracy of the baseline (%)", _bare_percent),
    "majority_share": ("commonest class (%)", _bare_percent),
    "binary_accuracy": ("BinaryAccuracy (%)", _bare_percent),
    "macro_recall": ("mean recall (%)", _bare_percent),
    "macro_f1": ("mean F1 (%)", _bare_percent),
    "precision": ("precision (%)", _bare_percent),
    "recall": ("recall (%)", _bare_percent),
    "f1": ("F1 (%)", _bare_percent),
    "share": ("share (%)", _bare_percent),
    "baseline_share": ("share, baseline (%)", _bare_percent),
    "changed": ("predictions changed (%)", _bare_percent),
    "discordance": ("discordant images (%)", _bare_percent),
    "ece": ("ECE", decimals(3)),
    "sd": ("SD over seeds (pp)", lambda value: points(value).removeprefix("+")),
    "seed_sd": ("SD over seeds (pp)", lambda value: points(value).removeprefix("+")),
    "difference": ("difference (pp)", points),
    "standard_error": ("standard error (pp)", lambda value: points(value, 2).removeprefix("+")),
    "df": ("degrees of freedom", _number),
    "p_value": ("p", p_value),
    "p_holm": ("p (Holm-adjusted)", p_value),
    "mde": ("MDE at 80 % power (pp)", lambda value: points(value).removeprefix("+")),
    "true_class": ("true class", _words),
    "predicted_class": ("predicted class", _words),
    "distance": ("attention distance (px)", decimals(1)),
    "uniform_distance": ("distance of uniform attention (px)", decimals(1)),
    "entropy": ("normalised entropy", decimals(3)),
    "relative_update": ("relative update norm (%)", _bare_percent),
    "trainable_parameters": ("trainable parameters", count),
    "parameters": ("parameters", count),
    "macs": ("MACs", count),
    "attention_macs": ("MACs between positions", count),
    "activation_bytes": ("activation memory (B)", count),
    "attention_bytes": ("attention maps (B)", count),
}
# Two columns that are the limits of one interval -> its header; the unit is that of the value beside it.
LIMITS = {
    ("ci_low", "ci_high"): "95 % CI",
    ("simultaneous_low", "simultaneous_high"): "simultaneous 95 % CI",
    ("pairwise_low", "pairwise_high"): "pairwise 95 % CI",
    ("precision_low", "precision_high"): "95 % CI of precision",
    ("recall_low", "recall_high"): "95 % CI of recall",
    ("f1_low", "f1_high"): "95 % CI of F1",
    ("difference_low", "difference_high"): "95 % CI of the difference",
}


def readable(table):
    """Return a table as a reader sees it: headers with units, limits as one interval, one form of every number.

    Args:
        table: a DataFrame, rates and differences as fractions.

    Returns:
        A DataFrame of str, in the order of the columns.
    """
    shown, done = {}, set()
    for name in table.columns:
        pair = next((pair for pair in LIMITS if name in pair), None)
        if pair is not None and set(pair) <= set(table.columns):
            if pair not in done:
                form, unit = (points, "pp") if _is_difference(pair, table.columns) else (_bare_percent, "%")
                limits = zip(table[pair[0]], table[pair[1]], strict=True)
                shown[f"{LIMITS[pair]} ({unit})"] = [interval(low, high, form) for low, high in limits]
                done.add(pair)
            continue
        header, form = COLUMNS.get(name, (str(name).replace("_", " "), None))
        if form is None:
            form = _number if is_numeric(table[name]) else _words
        shown[header] = [form(None if _is_absent(value) else value) for value in table[name]]
    return type(table)(shown)


def is_numeric(column):
    """Whether a column of a DataFrame holds numbers (booleans are words)."""
    return column.dtype.kind in "iuf" or str(column.dtype) in ("Int64", "Float64")


def _is_difference(pair, columns):
    return (
        "difference" in columns if pair[0] == "ci_low" else not pair[0].startswith(("precision", "recall", "f1"))
    )


def _is_absent(value):
    return value is None or str(value) in ("nan", "<NA>")
