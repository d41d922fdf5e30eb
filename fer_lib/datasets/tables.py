"""FER-2013 as a table: `fer2013.csv` and `icml_face_data.csv`, and the labels of FER+, `fer2013new.csv`.

A row is an image: the emotion as 0..6, the 48 * 48 grey values row by row between blanks, and the usage. Copies
differ in the delimiter (comma, semicolon, tab), the encoding and the spelling of headers and usages.
"""

import codecs
import warnings

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import check_kind
from fer_lib.datasets.faces import CLASS_NAMES, FaceSet
from fer_lib.datasets.trees import FERPLUS_ADVICE, class_of
from fer_lib.errors import DataError, shown

# The integers of the column `emotion`, in their order, which is NOT the alphabetical one: neutral is last.
CSV_CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {
    **dict.fromkeys(("training", "train"), "Training"),
    **dict.fromkeys(("publictest", "public_test", "val", "valid", "validation"), "PublicTest"),
    **dict.fromkeys(("privatetest", "private_test", "test"), "PrivateTest"),
}
SIDE = 48
_GREY_VALUES = {str(value): value for value in range(256)}
_JUNK = "Copies with junk at the end circulate: remove that line, or download the file again"


def read_images(stream, where):
    """Read every row of FER-2013's table.

    Args:
        stream: the file as a binary stream.
        where: the name of the file, for error messages.

    Returns:
        A `FaceSet` of images uint8 `(n, 48, 48, 1)` in the order of the rows, ids such as `Training/000123`.

    Raises:
        DataError: a column is missing, or a row is not an image; the message has the number of the line.
    """
    table = _read_table(stream, where, ("emotion", "pixels", "usage"))
    emotions = table["emotion"].str.strip()
    _require(
        emotions.str.fullmatch(r"[0-6](\.0*)?"), emotions, "A label is out of range", where, "an integer 0..6"
    )
    usages = _usages(table, where)
    images = np.stack([_pixels(text, f"{where}: line {line}") for line, text in table["pixels"].items()])
    to_label = np.array([CLASS_NAMES.index(name) for name in CSV_CLASS_NAMES], np.int64)
    labels = to_label[emotions.str[0].astype(int)]
    ids = np.array([f"{usage}/{row:06d}" for row, usage in enumerate(usages)])
    return FaceSet(images, labels, ids, metadata=pd.DataFrame({"usage": usages.to_list(), "folder": ""}))


def read_votes(stream, where):
    """Read the labels of FER+ (Barsoum et al., 2016), which has a row for each row of fer2013.csv.

    As in the authors' released code for the majority vote, single votes are dropped, and an image has a label where
    a class has more than half of the votes that are left.

    Returns:
        A DataFrame: `usage`; and `class_name`, one of `CLASS_NAMES`, or what else won: "contempt", "unknown", "nf"
        (not a face), or "no majority".
    """
    table = _read_table(stream, where, ("usage", "neutral", "unknown", "nf"))
    texts = table.drop(columns=["usage", "image name"], errors="ignore")
    for column in texts:
        _require(
            texts[column].str.fullmatch(r"\d{1,3}"), texts[column], "A vote is not a number", where, "0 to 10"
        )
    votes = texts.astype(int)
    votes = votes.where(votes > 1, 0)
    winners = votes.idxmax(axis=1).map({name: class_of(name) or name for name in votes})
    winners[votes.max(axis=1) <= votes.sum(axis=1) / 2] = "no majority"
    return pd.DataFrame({"usage": _usages(table, where), "class_name": winners}).reset_index(drop=True)


def _read_table(stream, where, needed):
    """All rows as text, by the number of their line; column names in lower case."""
    head = stream.read(1 << 16)
    stream.seek(0)
    check_kind(head, where)
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    header = (head.decode(encoding, errors="replace").splitlines() or [""])[0]
    delimiter = max(",;\t", key=header.count)
    columns = [name.strip(' "').lower() for name in header.split(delimiter)]
    if not set(needed) <= set(columns) or len(set(columns)) < len(columns):
        found = f"the columns {shown(', '.join(columns))}" if header.strip() else "an empty first line"
        expected = f"the columns {', '.join(needed)}"
        raise DataError("This is not the table of FER-2013", where, expected, found, _advice(columns))
    try:
        with warnings.catch_warnings():
            # pandas warns, and drops values, where the first row is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                stream, sep=delimiter, names=columns, header=0, index_col=False, dtype=str, keep_default_na=False,
                skip_blank_lines=False, encoding=encoding, encoding_errors="replace",
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        expected = f"{len(columns)} values in each line: {', '.join(columns)}"
        raise DataError("The table cannot be read", where, expected, error, _JUNK) from error
    table.index += 2  # the header is line 1
    table = table[table.ne("").any(axis=1)].fillna("")
    if table.empty:
        raise DataError("The table has no rows", where=where)
    return table


def _advice(columns):
    """What to do about a table that is known, but not FER-2013's."""
    if {"neutral", "nf"} <= set(columns):
        return FERPLUS_ADVICE
    if "pixels" in columns:
        return "The challenge's train.csv and test.csv lack columns; use fer2013.csv or icml_face_data.csv"
    return None


def _require(good, values, what, where, expected):
    """DataError that names the first line whose value is not good."""
    if not good.all():
        line = good.index[~good.to_numpy(bool)][0]
        raise DataError(what, f"{where}: line {line}", expected, shown(repr(values[line])), _JUNK)


def _usages(table, where):
    usages = table["usage"].str.strip().str.lower().map(USAGES)
    _require(usages.notna(), table["usage"], "Unknown Usage", where, "Training, PublicTest or PrivateTest")
    return usages


def _pixels(text, where):
    """`(48, 48, 1)` uint8 of the values between blanks."""
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise DataError("A row has the wrong number of pixels", where, "48 x 48 = 2304", len(words))
    try:
        values = bytes(map(_GREY_VALUES.__getitem__, words))
    except KeyError as error:
        raise DataError("A pixel is out of range", where, "integers 0..255", shown(error)) from None
    return np.frombuffer(values, np.uint8).reshape(SIDE, SIDE, 1)
