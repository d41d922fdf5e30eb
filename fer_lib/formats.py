"""Numbers and names as every table, axis, caption and sentence shows them."""

DATASET_NAMES = {"fer2013": "FER-2013", "kdef": "KDEF", "synthetic": "generated faces"}
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


def formatter(form):
    """What formats a value: one of the forms here by its name, or a format such as `"{:.2f}"`."""
    return FORMS[form] if form in FORMS else lambda value: MISSING if _is_missing(value) else form.format(value)


def _is_missing(value):
    return value is None or bool(value != value)  # NaN alone differs from itself


FORMS = {"percent": percent, "points": points, "p_value": p_value, "count": count}
