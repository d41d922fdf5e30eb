"""FER-2013 as a table: `fer2013.csv` and `icml_face_data.csv`, whose headers begin with a blank.

A row is an image: the emotion as 0..6, the 48 * 48 grey values row by row between blanks, and the usage.
"""

import csv
import warnings

import numpy as np
import pandas as pd
from tqdm import tqdm

from fer_lib.datasets.faces import CLASS_NAMES, FaceSet
from fer_lib.errors import DataError

# The integers of the column `emotion`, in their order, which is NOT the alphabetical one: neutral is last.
CSV_CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")
SIZE = 48


def read_rows(lines, where):
    """Reads every row of the table.

    Args:
        lines: an iterable of the file's lines as bytes.
        where: the name of the file, for error messages.

    Returns:
        A `FaceSet` of images uint8 `(n, 48, 48, 1)` in the order of the rows, ids such as `Training/000123`.

    Raises:
        DataError: a column is missing, or a row is not an image; the message has the number of the line.
    """
    table = csv.reader(_decoded(lines))
    columns = _columns(next(_rows(table, where), []), where)
    images, labels, usages = [], [], []
    bar = tqdm(_rows(table, where), desc="Reading FER-2013", unit=" images", disable=None)
    # NumPy reports text that is no number by a warning only.
    with warnings.catch_warnings(), bar:
        warnings.simplefilter("error", DeprecationWarning)
        for row in bar:
            line = f"{where}: line {table.line_num}"
            _check_row(row, columns, line)
            labels.append(_label(row[columns["emotion"]], line))
            usages.append(_usage(row[columns["Usage"]], line))
            images.append(_pixels(row[columns["pixels"]], line))
    if not images:
        raise DataError("The table has no rows", where=where)
    ids = np.array([f"{usage}/{row:06d}" for row, usage in enumerate(usages)])
    metadata = pd.DataFrame({"usage": usages, "folder": ""})
    return FaceSet(np.stack(images), np.array(labels, np.int64), ids, metadata=metadata)


def _decoded(lines):
    # utf-8-sig: a byte order mark may stand before the header. What is no text becomes a row that is refused.
    for number, line in enumerate(lines):
        yield line.decode("utf-8" if number else "utf-8-sig", errors="replace")


def _rows(table, where):
    """The rows that are not blank; what `csv` cannot read becomes a DataError with the line."""
    while True:
        try:
            row = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                "A line is no row of a CSV table", where=f"{where}: line {table.line_num}", found=str(error)
            ) from error
        if row:
            yield row


def _columns(header, where):
    # icml_face_data.csv writes its headers with a leading blank.
    names = [name.strip() for name in header]
    if "pixels" in names and "emotion" not in names:
        raise DataError(
            "The table has no labels",
            where=where,
            expected="a column emotion",
            found=f"the columns {', '.join(names)}",
            advice="It is the challenge's test.csv; fer2013.csv and icml_face_data.csv have labels for all images",
        )
    if "pixels" in names and "Usage" not in names:
        raise DataError(
            "The table does not tell the splits",
            where=where,
            expected="a column Usage",
            found=f"the columns {', '.join(names)}",
            advice="It is the challenge's train.csv; use fer2013.csv or icml_face_data.csv, which have all images",
        )
    if "pixels" not in names:
        found = ", ".join(names)
        raise DataError(
            "The file is not FER-2013's table",
            where=where,
            expected="a first line with emotion, pixels and Usage",
            found=repr(found[:80]) if found else "an empty file",
        )
    return {name: place for place, name in enumerate(names)}


def _check_row(row, columns, where):
    if len(row) != len(columns):
        raise DataError(
            "A line is not a row of the table",
            where=where,
            expected=f"{len(columns)} values: {', '.join(columns)}",
            found=f"{len(row)}: {','.join(row)[:40]!r}",
            advice="Copies with junk at the end circulate: take the line away, or download the file again",
        )


def _label(text, where):
    if text.strip() not in "0123456" or len(text.strip()) != 1:
        raise DataError("A label is out of range", where=where, expected="an integer 0..6", found=repr(text[:40]))
    return CLASS_NAMES.index(CSV_CLASS_NAMES[int(text)])


def _usage(text, where):
    if text.strip() not in USAGES:
        raise DataError("Unknown Usage", where=where, expected=" or ".join(USAGES), found=repr(text[:40]))
    return text.strip()


def _pixels(text, where):
    """`(48, 48, 1)` uint8 of the values between blanks."""
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        raise DataError(
            "A pixel is no integer", where=where, expected="integers between blanks", found=_first_wrong(text)
        ) from error
    if len(values) != SIZE * SIZE:
        raise DataError(
            "A row has the wrong number of pixels",
            where=where,
            expected=f"{SIZE} x {SIZE} = 2304",
            found=len(values),
        )
    if values.min() < 0 or values.max() > 255:
        wrong = values[(values < 0) | (values > 255)][0]
        raise DataError("A pixel is out of range", where=where, expected="values 0..255", found=wrong)
    return values.astype(np.uint8).reshape(SIZE, SIZE, 1)


def _first_wrong(text):
    return repr(next((word[:40] for word in text.split() if not word.lstrip("+-").isdigit()), text[:40]))
