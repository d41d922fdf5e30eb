import pickle

import pytest

from fer_lib.errors import DataError, FerError, ParameterError, RunError, shown


def test_an_error_is_one_paragraph_in_a_fixed_order():
    error = FerError("It failed", where="a.csv, line 3", expected="2 columns", found=3, advice="Mend it!")
    assert str(error) == "It failed. Where: a.csv, line 3. Expected: 2 columns. Found: 3. Mend it!"
    assert "\n" not in str(error)


def test_what_is_not_known_is_left_out():
    assert str(FerError("It failed.", found="nothing at all?")) == "It failed. Found: nothing at all?"
    assert str(FerError("It failed", found=0)) == "It failed. Found: 0."  # zero is an answer


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


@pytest.mark.parametrize(("kind", "status"), [(FerError, 1), (RunError, 1), (DataError, 2), (ParameterError, 2)])
def test_exit_status(kind, status):
    assert kind("It failed").exit_status == status


def test_wrong_input_is_a_value_error_too():
    assert issubclass(DataError, ValueError)
    assert issubclass(ParameterError, ValueError)
    assert not issubclass(RunError, ValueError)


@pytest.mark.parametrize(
    "error",
    [kind("It failed", found=0) for kind in (RunError, DataError, ParameterError)],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process_as_it_was(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.exit_status, vars(again)) == (str(error), error.exit_status, vars(error))
