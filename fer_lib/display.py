"""Numbers and names as every table, axis, caption and sentence shows them."""

import math
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from fer_lib.dataset_specs import DATASETS
from fer_lib.errors import ParameterError
from fer_lib.variants import Variant

DATASET_NAMES = {name: spec.title for name, spec in DATASETS.items()}
# What figures and tables answer, see `Study.show_figure`: key -> heading, in the order of the report.
QUESTIONS = {
    "help": "Do non-local blocks help?", "stage": "Does the stage matter?", "attention": "What do the blocks do?",
    "function": "Which pairwise function?", "cost": "What do they cost?", "confusion": "Which expressions change?",
    "claims": "Which claims of the paper hold?", "data": "Are the data and the baseline sound?",
}  # fmt: skip
MISSING = "–"  # of every form
# A cell of `readable` that holds a number or an interval.
_NUMBER = re.compile(r"(< )?[+−]?[\d.,]+(e[+−]\d+)?( %)?( to [+−]?[\d.,]+( %)?)?")


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as a percentage: 0.635 is `63.5 %`."""
    return MISSING if pd.isna(fraction) else f"{_scaled(fraction, digits)} %"


def points(fraction: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points with its sign: −0.015 is `−1.5`."""
    if pd.isna(fraction):
        return MISSING
    text = _scaled(fraction, digits, sign="+")
    return text if text.strip("+−0.") else text[1:]  # zero has no sign


def interval(low: float | None, high: float | None, form: Callable[..., str] = points) -> str:
    """Two limits in one form: `−1.5 to +4.4`, or with `percent` `61.0 % to 65.9 %`."""
    return MISSING if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}"


def time_left(seconds: float) -> str:
    """Return how long something will take: `about 3 min left`, `about 2.5 h left`."""
    return f"about {math.ceil(seconds / 60)} min left" if seconds < 7200 else f"about {seconds / 3600:.1f} h left"


def p_value(p: float) -> str:
    """A p-value with two significant digits: `0.28`, `1`, `< 0.001`."""
    return MISSING if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def count(number: float) -> str:
    """A whole number with thousands separated: `22,968`."""
    return MISSING if pd.isna(number) else f"{round(number):,}"


def binary_floor(classes: int) -> float:
    """Return BinaryAccuracy where no output exceeds one half, the all-negative baseline: 6/7 of seven classes."""
    return (classes - 1) / classes


def network(name: str) -> str:
    """The label of a variant's name: `resnet50v2-nl3` is `stage 3`; other text as it is."""
    try:
        return Variant.from_name(name).label
    except ParameterError:
        return str(name)


def _scaled(number, digits=1, scale=100, sign="-"):
    """So many decimals of a number, by default of a fraction in percent, with a true minus sign."""
    return f"{scale * number:{sign},.{digits}f}".replace("-", "−")


def _words(value):
    return ("yes" if value else "no") if isinstance(value, bool | np.bool_) else str(value)


def _number(value):
    """A whole number as `count` has it, four significant digits of another."""
    return count(value) if float(value).is_integer() else f"{value:.4g}".replace("-", "−")


# Form of cells -> the columns of tables that have it, each with its header and the unit.
_HEADERS: dict[Callable[..., str], dict[str, str]] = {
    network: {"variant": "network", "baseline": "baseline"},
    _scaled: {
        "accuracy": "accuracy (%)", "baseline_accuracy": "accuracy of the baseline (%)",
        "binary_accuracy": "BinaryAccuracy (%)", "if_confident": "accuracy if confident (%)",
        "macro_recall": "mean recall (%)", "macro_f1": "mean F1 (%)",
        "precision": "precision (%)", "recall": "recall (%)", "f1": "F1 (%)",
        "share": "share (%)", "baseline_share": "share, baseline (%)", "changed": "predictions changed (%)",
        "changed_low": "fewest changed (%)", "changed_high": "most changed (%)",
        "sharpened_low": "one-hot BinaryAccuracy here, lowest (%)", "sharpened_high": "highest (%)",
        "sd": "SD over seeds (pp)", "mde": "MDE at 80 % power (pp)",
        "equivalent_within": "equivalent within ± (pp)", "margin": "margin ± (pp)",
        "relative_update": "relative update norm (%)", "update": "relative update norm, median (%)",
        "update_q1": "first quartile (%)", "update_q3": "third quartile (%)", "update_max": "maximum (%)",
        "dead": "queries without weights (%)", "dead_low": "fewest queries without weights (%)",
        "dead_high": "most queries without weights (%)",
    },
    partial(_scaled, digits=2): {"standard_error": "standard error (pp)", "reported": "reported (%)"},
    points: {
        "difference": "difference (pp)", "above_floor": "above the all-negative baseline (pp)",
        "ablated_difference": "difference, blocks removed (pp)",
    },
    p_value: {"p_value": "p", "p_holm": "p (Holm-adjusted)", "p_equivalent": "p (equivalence)"},
    partial(_scaled, digits=1, scale=1): {
        "distance": "attention distance (px)", "uniform_distance": "distance of uniform attention (px)", "z": "z",
    },
    partial(_scaled, digits=3, scale=1): {
        "confidence": "mean confidence", "ece": "ECE", "ece_floor": "ECE of a calibrated network",
        "entropy": "normalised entropy", "entropy_low": "lowest entropy", "entropy_high": "highest entropy",
    },
    _number: {
        "df": "degrees of freedom", "n": "images", "n_correct": "correct images",
        "support": "images of the class", "macs": "MACs", "attention_macs": "MACs between positions",
        "activation_bytes": "activation memory (B)", "attention_bytes": "attention maps (B)",
        "added_trainable_parameters": "parameters added", "added_macs": "MACs added",
        "added_attention_macs": "MACs between positions added",
        "added_attention_bytes": "attention maps added (B)",
        "added_activation_bytes": "activation memory added (B)",
    },
    "{:.0f}".format: {"seed": "seed"}, _words: {"images": "which images", "of": "over", "label": "contrast"},
}  # fmt: skip
COLUMNS: dict[str, tuple[str, Callable]] = {
    name: (header, form) for form, own in _HEADERS.items() for name, header in own.items()
}
# Limits of an interval, `<name>_low` and `<name>_high` -> their header; the unit is that of the value beside it.
LIMITS = {
    "ci": "95 % CI", "simultaneous": "simultaneous 95 % CI", "pairwise": "pairwise 95 % CI",
    "precision": "95 % CI of precision", "recall": "95 % CI of recall", "f1": "95 % CI of F1",
    "difference": "95 % CI of the difference", "binary": "95 % CI of BinaryAccuracy",
}  # fmt: skip
_OF_RATES = ("precision", "recall", "f1", "binary")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as a reader sees it, of str: headers with units, limits as one interval, one form of numbers.

    `table`: a DataFrame, rates and differences as fractions; the order of its columns stays. Two columns of one
    header are a ValueError: one would hide the other.
    """
    columns, shown = set(table.columns), {}
    for name in table.columns:
        limits, _, end = str(name).rpartition("_")
        if limits in LIMITS and end in ("low", "high") and {f"{limits}_low", f"{limits}_high"} <= columns:
            if end == "high":
                continue
            is_rate = limits in _OF_RATES or (limits == "ci" and "difference" not in columns)
            form, unit = (_scaled, "%") if is_rate else (points, "pp")
            header = f"{LIMITS[limits]} ({unit})"
            pairs = zip(table[name], table[f"{limits}_high"], strict=True)
            cells = [interval(*pair, form) for pair in pairs]
        else:
            is_number = is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])
            header, form = COLUMNS.get(name, (str(name).replace("_", " "), _number if is_number else _words))
            cells = [MISSING if pd.isna(value) else form(value) for value in table[name]]
        if header in shown:
            raise ValueError(f"Two columns of a table have the header {header!r}; the second is {name!r}")
        shown[header] = cells
    return pd.DataFrame(shown)


def are_numeric(shown: pd.DataFrame) -> list[bool]:
    """Return for each column of a DataFrame of str whether it holds numbers only, or none at all."""
    return [all(map(_NUMBER.fullmatch, set(shown[name]) - {MISSING})) for name in shown]
