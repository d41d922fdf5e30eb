"""KDEF copied into seven folders, one a class: the form that the paper trained on."""

from typing import NamedTuple

from tqdm import tqdm

from fer_lib.datasets.archive import MAX_IMAGE_BYTES, data_path, open_files, open_regular
from fer_lib.datasets.kdef import WHERE_TO_GET_IT, find_images
from fer_lib.errors import DataError
from fer_lib.files import write_atomically


class Reorganised(NamedTuple):
    """What was done: files `copied` now, files `kept` from an earlier time, and `notes` on what was found."""

    copied: int
    kept: int
    notes: tuple


def reorganise_kdef(source, target):
    """Copy each image of KDEF to `target/<class>/<name>.JPG`; a second call finishes what a first began.

    Args:
        source: a folder or archive with KDEF, see `load_kdef`. It is only read.
        target: the folder to write, which may exist. Nothing in it is changed, deleted or written through a link.

    Returns:
        `Reorganised`. The two misnamed images get the names of what they show; the black ones are copied as they
        are, `load_kdef` finds them in either form.

    Raises:
        DataError: source and target overlap, the source is not KDEF, or something else is in an image's place.
        RunError: the target cannot be written, or the disk is full.
    """
    source, target = data_path(source, WHERE_TO_GET_IT), data_path(target, must_exist=False)
    inner, outer = target.resolve(), source.resolve()
    if source.is_dir() and (inner.is_relative_to(outer) or outer.is_relative_to(inner)):
        expected = f"a target neither inside nor around {source}"
        raise DataError(
            "The images would be mixed with their copies", target, expected, advice="Choose another folder"
        )
    if target.exists() and not target.is_dir():
        raise DataError("The target is not a folder", where=target, expected="a folder, or nothing yet")
    copied = 0
    with open_files(source) as files:
        chosen, notes = find_images(files)
        # disable=None: no bar where stderr is a log file.
        for name, file in tqdm(chosen.items(), "Copying KDEF", unit=" images", disable=None):
            copied += _copy(files.read(file), inner / name.class_name / f"{name}.JPG")
    return Reorganised(copied, len(chosen) - copied, tuple(notes))


def _copy(content, place):
    """Write the bytes unless they are there; return whether it did."""
    if place.is_symlink() or place.parent.is_symlink():
        expected = "folders and files of the target's own, no links"
        raise DataError(
            "A link is in an image's place", place, expected, advice="Remove it, or choose another target"
        )
    if not place.exists():
        write_atomically(place, content)
        return True
    with open_regular(place, MAX_IMAGE_BYTES) as file:
        if file.read() == content:
            return False
    raise DataError(
        "Another file is in an image's place",
        where=place,
        expected="nothing, or the same image",
        advice="Remove it, or choose another target: no file is overwritten",
    )
