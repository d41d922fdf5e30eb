import pickle

import pytest
from data_files import csv_row, csv_rows, grey, refused

from fer_lib.datasets import load_fer2013
from fer_lib.errors import DataError, FerError, ParameterError, RunError, shown
from fer_lib.parameters import read_parameters


def test_an_error_is_one_paragraph_in_a_fixed_order_without_what_is_not_known():
    error = FerError("It failed", where="a.csv, line 3", expected="2 columns", found=3, advice="Mend it!")
    assert str(error) == "It failed. Where: a.csv, line 3. Expected: 2 columns. Found: 3. Mend it!"
    assert str(FerError("It failed.", found=0)) == "It failed. Found: 0."  # zero is an answer


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("two\n lines\t", "two lines"),
        ("\x1b[2Jred\x07", "\\x1b[2Jred\\x07"),
        ("\udcff.png", "\\udcff.png"),
        ("\u202etxt", "\\u202etxt"),
        ("é中", "é中"),
        (7, "7"),
    ],
)
def test_quoted_values_are_printable_and_on_one_line(value, text):
    assert shown(value) == text
    assert shown(shown(value)) == text


def test_long_values_keep_their_beginning_and_end():
    text = shown("/a" + "b" * 1_000_000 + "/c.png")
    assert len(text) <= 80 and text.startswith("/ab") and text.endswith("b/c.png") and " … " in text
    assert shown("x" * 80) == "x" * 80
    long = FerError("w" * 5000, "x" * 5000, "y" * 5000, "\x1b" * 5000, "z" * 5000)
    assert len(str(long)) < 5000 and str(long).isprintable()


@pytest.mark.parametrize(("kind", "status"), [(RunError, 1), (DataError, 2), (ParameterError, 2)])
def test_wrong_input_is_a_value_error_of_status_2_in_every_process(kind, status):
    assert issubclass(kind, ValueError) == (status == 2)
    error = kind("It failed", found=0)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and (str(again), vars(again)) == (str(error), vars(error))
    assert again.exit_status == status


TABLE = ["emotion,pixels,Usage", *csv_rows()[:5]]


@pytest.mark.parametrize("blanks", [0, 1, 4])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("read", "lines", "place"),
    [
        (load_fer2013, [*TABLE, csv_row(0, grey(0), "Trainin"), *TABLE[1:]], 6),
        (load_fer2013, [*TABLE, "0,1 2 3,Training"], 6),
        (read_parameters, ["epochs: 3", "flip: true", "epochs: 4"], 2),
        (read_parameters, ["epochs: 3", "seeds: ]"], 1),
    ],
)
def test_the_line_of_an_error_is_counted_with_the_blank_lines_before_it(tmp_path, read, lines, place, end, blanks):
    (path := tmp_path / "fer2013.csv").write_bytes(end.join([lines[0], *[""] * blanks, *lines[1:], ""]).encode())
    refused(lambda: read(path), f"line {place + blanks + 1}")  # the first line is line 1
