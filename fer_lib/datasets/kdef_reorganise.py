"""KDEF sorted into seven folders, one a class: the form that the paper trained on."""

from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from fer_lib.datasets.archive import open_files
from fer_lib.datasets.kdef_tree import find_pictures
from fer_lib.errors import DataError
from fer_lib.files import write_atomically


class Reorganised(NamedTuple):
    """What was done: files `copied` now, files `kept` from an earlier time, and `notes` on what was found."""

    copied: int
    kept: int
    notes: tuple


def reorganise_kdef(source, target):
    """Copies each picture of KDEF to `target/<class>/<name>.JPG`; a second call finishes what a first began.

    Args:
        source: a folder or zip with KDEF, see `load_kdef`. It is only read.
        target: the folder to write, which may exist. What stands in it is neither changed nor deleted.

    Returns:
        `Reorganised`. The two misnamed pictures get the names of what they show; the black ones are copied as they
        are, `load_kdef` finds them in either form.

    Raises:
        DataError: source and target overlap, the source is not KDEF, or another file has a picture's place.
        RunError: the target cannot be written, or the disk is full.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    _check_places(source, target)
    copied = kept = 0
    with open_files(source) as files:
        tree = find_pictures(files)
        # disable=None: no bar where stderr is a log file.
        for name, file in tqdm(tree.files.items(), "Copying KDEF", unit=" images", disable=None):
            with files.open(file) as stream:
                content = stream.read()
            if _copy(content, target / name.class_name / f"{name}.JPG"):
                copied += 1
            else:
                kept += 1
    return Reorganised(copied, kept, tree.notes)


def _check_places(source, target):
    if not source.exists():
        raise DataError("The data do not exist", where=source)
    inner, outer = target.resolve(), source.resolve()
    if source.is_dir() and (inner.is_relative_to(outer) or outer.is_relative_to(inner)):
        raise DataError(
            "The pictures would be mixed with their copies",
            where=target,
            expected=f"a target neither inside nor around {source}",
            advice="Choose another folder",
        )
    if target.exists() and not target.is_dir():
        raise DataError("The target is no folder", where=target, expected="a folder, or nothing yet")


def _copy(content, place):
    """Writes the bytes unless they are there; whether it did."""
    try:
        if place.read_bytes() == content:
            return False
    except FileNotFoundError:
        write_atomically(place, content)
        return True
    except OSError as error:
        raise DataError("The target cannot be read", where=place, found=error.strerror) from error
    raise DataError(
        "Another file stands in a picture's place",
        where=place,
        expected="nothing, or the same picture",
        advice="Take it away, or choose another target: no file is overwritten",
    )
