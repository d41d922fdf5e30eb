import errno
import os
import stat

import pytest

from fer_lib.errors import RunError
from fer_lib.files import write_atomically


@pytest.mark.parametrize("content", ["Gefühl\n", "Gefühl\n".encode()])
def test_text_and_bytes(tmp_path, content):
    write_atomically(tmp_path / "new" / "folder" / "a.txt", content)
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == b"Gef\xc3\xbchl\n"


def test_a_callable_is_given_a_sibling_of_the_same_suffix(tmp_path):
    given = []

    def write(path):
        given.append(path)
        with open(path, "w") as file:
            file.write("x")

    write_atomically(tmp_path / "a.npz", write)
    assert os.path.dirname(given[0]) == str(tmp_path) and given[0].endswith(".npz")
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunError, "No space left on device.*Free space"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error, raised, words):
    (tmp_path / "a.txt").write_text("old")

    def write(path):
        with open(path, "w") as file:
            file.write("half of the n")
        raise error

    with pytest.raises(raised, match=words):
        write_atomically(tmp_path / "a.txt", write)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        write_atomically(tmp_path / "file" / "a.txt", "x")


def test_others_may_read_what_the_mask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
