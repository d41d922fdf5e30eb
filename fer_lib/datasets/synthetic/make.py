"""`make_synthetic`: generated faces in one of the real forms, drawn once."""

from fer_lib.datasets.synthetic import fer2013_form, kdef_form
from fer_lib.datasets.synthetic.target import write_once
from fer_lib.errors import ParameterError

FORMS = ("fer2013_zip", "fer2013_folder", "fer2013_csv", "icml_csv", "kdef")
# Raise it with any change to what is drawn or written: targets drawn before are then drawn again.
VERSION = 1


def make_synthetic(
    target,
    form="fer2013_zip",
    images_per_class=None,
    people=None,
    seed=0,
    size=None,
    flaws=True,
    processes=1,
):
    """Draws faces and writes them in a real form, unless `target` already holds just these.

    Args:
        target: the file (`fer2013_zip`, `fer2013_csv`, `icml_csv`) or folder (`fer2013_folder`, `kdef`) to write.
        form: one of `FORMS`. The four of FER-2013 hold the same 48 x 48 grey faces for the same arguments, pixel
            for pixel; `kdef` is the tree `KDEF_and_AKDEF/KDEF/AF01/AF01AFFL.JPG` of colour JPEGs.
        images_per_class: FER-2013 only: the mean over the classes, all three splits together (default 100).
            Classes differ as in FER-2013, less steeply: disgust has a third of the mean, happy 1.4 times the mean,
            and none has fewer than 5 in Training and 3 in either test split.
        people: FER-2013: how many persons there are (default: another one in every picture). KDEF: persons of
            each sex, 1 to 35 (default 35, the full 4,900 pictures).
        seed: a whole number from 0.
        size: KDEF only: (width, height) in pixels (default (562, 762)).
        flaws: whether the known flaws of the real data are built in. FER-2013 (`fer2013_form.FLAWS`): two
            PublicTest and two PrivateTest pictures are exact copies of Training pictures, one Training picture is
            a copy of one with another label, one is black. KDEF: the known misnamed and black pictures, where
            those persons are.
        processes: how many processes draw. With more than one, a script must be guarded by
            `if __name__ == "__main__":`, as Python's multiprocessing demands.

    Returns:
        `target` as a Path: what `load_fer2013` or `load_kdef` is given.

    Raises:
        ParameterError: an unknown form, a number out of range, or an argument that the form does not take.
        DataError: something else stands at `target`; it is not touched.
        RunError: the files cannot be written; no half-written target stays behind.

    The same arguments give the same bytes. A target is complete or absent: it is written beside its place and
    moved there, and a small hidden file beside it (`.<name>.synthetic.json`) tells what was drawn. A target drawn
    from other arguments is drawn anew, unless it was changed since.
    """
    _check(form, images_per_class, people, seed, size)
    arguments = {"version": VERSION, "form": form, "people": people, "seed": seed, "flaws": bool(flaws)}
    if form == "kdef":
        arguments |= {"people": people or kdef_form.MOST_PEOPLE, "size": list(size or kdef_form.SIZE)}
        write = kdef_form.write_tree
    else:
        arguments |= {"images_per_class": images_per_class or 100}
        write = fer2013_form.WRITERS[form]
    return write_once(target, arguments, lambda path: write(path, arguments, processes))


def _check(form, images_per_class, people, seed, size):
    if form not in FORMS:
        raise ParameterError("Unknown form of generated faces", expected=" or ".join(FORMS), found=repr(form))
    most = kdef_form.MOST_PEOPLE if form == "kdef" else None
    _check_number("images_per_class", images_per_class, 1)
    _check_number("people", people, 1, most)
    _check_number("seed", 0 if seed is None else seed, 0)
    if form == "kdef" and images_per_class is not None:
        raise ParameterError(
            "KDEF's number of images follows from its people", where="images_per_class", found=images_per_class
        )
    if form != "kdef" and size is not None:
        raise ParameterError("FER-2013 is 48 x 48 in every form", where="size", found=size)
    if size is not None and (len(size) != 2 or min(size) < 24):
        raise ParameterError("Impossible size", where="size", expected="(width, height) from 24", found=size)


def _check_number(name, value, least, most=None):
    if value is None:
        return
    if not isinstance(value, int) or value < least or (most is not None and value > most):
        raise ParameterError(
            "A number is out of range",
            where=name,
            expected=f"a whole number from {least}" + (f" to {most}" if most else ""),
            found=repr(value),
        )
