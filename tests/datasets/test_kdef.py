"""KDEF in both of its forms and by both protocols, and every way in which a copy of it can be broken."""

import functools
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import CLASSES, encoded, jpeg, names_of, refused, write_kdef, zip_of
from data_files import KDEF_CODES as CODES
from PIL import Image

from fer_lib.datasets import kdef, load
from fer_lib.datasets.checks import check
from fer_lib.datasets.kdef import load_kdef
from fer_lib.parameters import Parameters

# From the literature on KDEF.
BLACK = {
    *("AF01SUFR", "AF10AFFR", "AF11NEHL", "AF20DIHL", "AM25DIFL"),
    *("AM34DIFR", "BF13NEHR", "BM21DIFL", "BM22DIHL", "BM24DIFL"),
}


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory):
    """3 female and 3 male persons, 420 pictures, in the original form."""
    return write_kdef(tmp_path_factory.mktemp("small"), ["F01", "F02", "F03", "M01", "M02", "M03"])


@pytest.fixture
def tree(small_tree, tmp_path):
    """A copy that a test may break: the folder KDEF itself."""
    return Path(shutil.copytree(small_tree, tmp_path / "tree")) / "KDEF_and_AKDEF" / "KDEF"


@pytest.fixture(scope="module")
def whole_zip(tmp_path_factory):
    """All 4,900 names with the published flaws; the pictures of an expression are all the same."""
    path = tmp_path_factory.mktemp("whole") / "KDEF_and_AKDEF.zip"
    faces = {code: jpeg(seed) for seed, code in enumerate(CODES)}
    black = encoded(Image.new("RGB", (56, 76), (3, 2, 2)))
    persons = [f"{sex}{number:02d}" for sex in "FM" for number in range(1, 36)]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names_of(persons):
            stem = {"AF31SAHL": "AF31V", "AM31SUHR": "AM31H"}.get(name, name)
            content = black if name in BLACK else faces[name[4:6]]
            archive.writestr(f"KDEF_and_AKDEF/KDEF/{name[:4]}/{stem}.JPG", content)
    return path


@pytest.fixture
def load_whole(whole_zip, own_cache, monkeypatch):
    """`load_kdef` of the whole data set, with a cache that outlives a test."""
    monkeypatch.setenv("FER_CACHE", str(whole_zip.parent / "cache"))
    return functools.partial(load_kdef, whole_zip, size=16)


def said(splits, *words):
    """The notes as one text, which has each of the words in it."""
    text = "\n".join(splits.notes)
    for word in words:
        assert word in text, text
    return text


def loading(path, **arguments):
    return lambda: load_kdef(path, **({"size": 16} | arguments))


def ids_of(splits):
    return {name for _, faces in splits.items() for name in faces.ids.tolist()}


# Names


def test_invalid_names(tree):
    stems = ["AF00ANS", "AF01AN", "AF01ANS (1)", "AF01ANSR", "AF01XXS", "AF0１ANS", "AF31W", "AF36ANS", "CF01ANS"]
    for stem in stems:
        write(tree, f"{stem}.JPG", jpeg(1))
    names = ", ".join(f"{stem}.JPG" for stem in sorted(stems))
    said(load_kdef(tree, size=16), f"Left out (9), invalid file name, unlike AF01ANHL: {names}.")


# The whole data set


def test_of_all_4900_pictures_the_blank_ones_are_left_out(load_whole):
    splits = load_whole()
    assert len(ids_of(splits)) == 4890
    assert ids_of(splits).isdisjoint(BLACK) and {"AF31SAHL", "AM31SUHR"} <= ids_of(splits)
    said(splits, "Left out (10), blank: ")
    said(splits, "AF31/AF31V.JPG has an invalid name; it is known to be AF31SAHL", "AM31/AM31H.JPG", "be AM31SUHR")
    for name in BLACK:
        said(splits, f"{name[:4]}/{name}.JPG")


def test_random_takes_a_fifth_of_each_class(load_whole):
    splits = load_whole("random")
    # 700 a class, less the black ones: angry 0, disgust 6, fear 1, happy 0, neutral 2, sad 0, surprise 1.
    assert splits.train.counts().tolist() == [560, 555, 559, 560, 558, 560, 559]
    assert splits.validation.counts().tolist() == [140, 139, 140, 140, 140, 140, 140]
    assert (splits.test, splits.dataset, splits.protocol) == (None, "kdef", "random")
    assert set(splits.train.ids).isdisjoint(splits.validation.ids)
    assert set(splits.validation.metadata["subject"]) <= set(splits.train.metadata["subject"])
    said(splits, "leaks: 70 of 70 validation subjects are also in train")


def test_subject_keeps_persons_whole_and_the_sexes_even(load_whole):
    splits = load_whole("subject")
    assert set(splits.validation.metadata["subject"]).isdisjoint(splits.train.metadata["subject"])
    assert splits.test is None
    assert check(splits).counts.to_numpy().sum() == 4890
    for faces, of_each_sex in ((splits.train, 28), (splits.validation, 7)):
        by_person = faces.metadata.groupby("subject")
        assert (by_person["session"].nunique() == 2).all()
        assert by_person["sex"].first().value_counts().to_dict() == {"F": of_each_sex, "M": of_each_sex}
    said(splits, "0 of 14 validation subjects are also in train")


def test_a_split_depends_hardly_on_what_is_missing(tree):
    before = load_kdef(tree, size=16)
    removed = sorted(before.train.ids)[0]
    (tree / removed[:4] / f"{removed}.JPG").unlink()
    after = load_kdef(tree, size=16)
    assert len(set(before.validation.ids) - set(after.validation.ids)) <= 1
    assert set(after.validation.ids) <= set(before.validation.ids)


def test_angles_are_chosen(load_whole):
    splits = load_whole(angles=("HR", "S"))
    assert set(splits.train.metadata["angle"]) == {"S", "HR"}
    assert len(ids_of(splits)) == 1959
    said(splits, "Left out (1), blank: ")
    # Of the black ones only BF13NEHR is at these angles; and the order in which angles are given is none.
    assert load_whole(angles=["S", "HR"]).fingerprint == splits.fingerprint


def test_metadata_and_labels_are_those_of_the_names(tree):
    faces = load_kdef(tree, size=16).train
    assert faces.images.shape == (336, 16, 16, 3) and faces.images.dtype == np.uint8
    assert list(faces.metadata) == ["usage", "session", "sex", "subject", "expression", "angle"]
    for name, label, row in zip(faces.ids, faces.labels, faces.metadata.itertuples(), strict=True):
        assert f"{row.session}{row.subject}{row.expression}{row.angle}" == name
        assert row.sex == name[1] and row.subject == name[1:4] and CODES[label] == name[4:6]


# Pixels


def striped(tmp_path, top=100, bottom=662):
    """A tree of real size: red above the row `top`, blue below `bottom`, a smooth green picture between."""
    rows, columns = np.mgrid[:762, :562]
    green = np.stack([columns % 200 * 0, 90 + 60 * np.sin(columns / 40) + 60 * np.cos(rows / 55), rows * 0], -1)
    pixels = green.clip(0, 255).astype(np.uint8)
    pixels[:top], pixels[bottom:] = (255, 0, 0), (0, 0, 255)
    content = encoded(Image.fromarray(pixels), quality=98)
    for person in ("F01", "F02"):
        for code in CODES:
            write(tmp_path, f"KDEF/A{person}/A{person}{code}S.JPG", content)
    return tmp_path / "KDEF", np.asarray(Image.open(io.BytesIO(content)))


def first(path, **arguments):
    return load_kdef(path, angles=("S",), **arguments).train.images[0]


def test_crop_is_the_middle_square(tmp_path):
    path, full = striped(tmp_path)
    # Away from the border rows there is neither red nor blue.
    cropped = first(path, size=96)
    assert cropped[1:-1, :, [0, 2]].max() < 40
    reference = Image.fromarray(full[100:662]).resize((96, 96), Image.Resampling.BOX)
    assert np.abs(cropped[2:-2].astype(int) - np.asarray(reference)[2:-2]).mean() < 1.5
    # Nothing is resampled at the size of the pictures.
    np.testing.assert_array_equal(first(path, size=762, aspect="pad")[:, 100:662], full)
    np.testing.assert_array_equal(first(path, size=562), full[100:662])


def test_squash_is_the_whole_picture(tmp_path):
    path, full = striped(tmp_path)
    squashed = first(path, size=96, aspect="squash")
    # 100 of 762 rows are 12.6 of 96.
    assert (squashed[:12, :, 0] > 200).all() and (squashed[13:, :, 0] < 60).all()
    assert (squashed[-12:, :, 2] > 200).all() and (squashed[:-13, :, 2] < 60).all()
    reference = Image.fromarray(full).resize((96, 96), Image.Resampling.BOX)
    assert np.abs(squashed.astype(int) - np.asarray(reference)).mean() < 3


def test_pad_is_the_whole_picture_as_it_is_proportioned(tmp_path):
    path, full = striped(tmp_path)
    padded = first(path, size=96, aspect="pad")
    # 562 of 762 columns are 71 of 96: 12 on the left and 13 on the right repeat the outermost ones.
    reference = np.asarray(Image.fromarray(full).resize((71, 96), Image.Resampling.BOX))
    assert np.abs(padded[:, 12:83].astype(int) - reference).mean() < 3
    assert (padded[:, :12] == padded[:, 12:13]).all() and (padded[:, 83:] == padded[:, 82:83]).all()


def test_without_colour_there_is_one_channel_of_luminance(tree):
    colour, grey = (load_kdef(tree, size=32, colour=colour).train.images for colour in (True, False))
    assert grey.shape == (336, 32, 32, 1)
    # ITU-R BT.601, as JPEG has it.
    luminance = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luminance).mean() < 2


# Forms


def reorganised(tree, folder):
    for file in tree.rglob("*.JPG"):
        write(folder, f"{CLASSES[CODES.index(file.stem[4:6])]}/{file.name}", file.read_bytes())
    return folder


def test_every_form_gives_the_same_data(small_tree, tree, tmp_path):
    lower = tmp_path / "lower"
    for file in tree.rglob("*.JPG"):
        write(lower, f"{file.parent.name}/{file.name}".lower(), file.read_bytes())
    classes = reorganised(tree, tmp_path / "classes")
    flat = tmp_path / "flat"
    for file in tree.rglob("*.JPG"):
        write(flat, file.name, file.read_bytes())
    forms = [small_tree, tree, lower, classes, flat, zip_of(small_tree, tmp_path / "a.zip")]
    for protocol in ("random", "subject"):
        assert len({load_kdef(form, protocol, size=16).fingerprint for form in forms}) == 1


def test_a_second_load_decodes_nothing_whatever_the_protocol(tree, monkeypatch):
    one = load_kdef(tree, "random", size=16)
    monkeypatch.setattr(kdef, "decode", lambda *_: pytest.fail("decoded again"))
    again = load_kdef(tree, "random", size=16)
    assert (again.fingerprint, again.notes) == (one.fingerprint, one.notes)
    assert again.train.metadata.equals(one.train.metadata)
    assert load_kdef(tree, "subject", size=16).protocol == "subject"


def test_a_study_leads_here(tree):
    parameters = Parameters(dataset="kdef", protocol="subject", colour=True, image_size=24, angles=["S", "HL"])
    splits = load(parameters, tree)
    assert splits.fingerprint == load_kdef(tree, "subject", 24, ("HL", "S")).fingerprint
    assert splits.train.images.shape[1:] == (24, 24, 3)


# Broken copies: what is listed, and what is refused


def test_missing_pictures_are_named(tree):
    shutil.rmtree(tree / "AF02")
    shutil.rmtree(tree / "AM03")
    shutil.rmtree(tree / "BM03")
    for file in [*tree.rglob("*FR.JPG"), tree / "AF01" / "AF01ANS.JPG"]:
        file.unlink()
    splits = load_kdef(tree, size=16)
    # Five subjects are left, one of them with one session: 9 folders of 28 without full right profiles, less one.
    assert len(ids_of(splits)) == 251
    said(splits, "Missing (4,649): AF01AFFR, AF01ANFR, AF01ANS, AF01DIFR", "and 4,599 more")
    said(load_kdef(tree, size=16, angles=("S",)), "Missing (918): ")  # at this angle


def test_extra_files_are_left_out_and_listed(tree):
    for name in ("AF01/._AF01ANS.JPG", "readme.txt", "AF01/AF01ANS (1).JPG", "AF01/AF01ANS.png", "AKDEF/FANS.JPG"):
        write(tree, name, jpeg(1))
    splits = load_kdef(tree, size=16)
    assert ids_of(splits) == set(names_of(["F01", "F02", "F03", "M01", "M02", "M03"]))
    said(
        splits,
        "unlike AF01ANHL: AF01/AF01ANS (1).JPG, AKDEF/FANS.JPG.",
        "Left out (2), not a JPEG by the suffix: AF01/AF01ANS.png, readme.txt.",
    )


def test_files_that_are_no_picture_are_left_out_and_listed(tree):
    whole = (tree / "AF01/AF01ANS.JPG").read_bytes()
    (tree / "AF01/AF01ANS.JPG").write_bytes(b"")
    (tree / "AF01/AF01HAS.JPG").write_bytes(whole[: len(whole) // 2])
    (tree / "AF01/AF01SAS.JPG").write_bytes(b"not a picture at all")
    Image.new("RGB", (56, 76), (200, 10, 10)).save(tree / "AF01/AF01DIS.JPG")
    splits = load_kdef(tree, size=16)
    damaged = "damaged or not an image: AF01/AF01ANS.JPG, AF01/AF01HAS.JPG, AF01/AF01SAS.JPG."
    said(splits, "blank: AF01/AF01DIS.JPG.", damaged)
    assert len(ids_of(splits)) == 416


def test_mixed_forms_are_read_once(tree):
    before = load_kdef(tree, size=16)
    for name in ("AF01ANS", "BM03ANFL"):
        write(tree, f"angry/{name}.JPG", (tree / name[:4] / f"{name}.JPG").read_bytes())
    # A picture that stands in the reorganisation alone is read there.
    alone = write(tree, "sad/AM01SAS.JPG", (tree / "AM01/AM01SAS.JPG").read_bytes())
    (tree / "AM01/AM01SAS.JPG").unlink()
    splits = load_kdef(tree, size=16)
    assert splits.fingerprint == before.fingerprint and alone.exists()
    said(splits, "Left out (2), a second file of an image: angry/AF01ANS.JPG")


def test_of_a_misnamed_and_a_well_named_file_the_latter_is_read(tree):
    # AM31H comes before AM31SUHR in the alphabet, and AF31V after AF31SAHL.
    for name in names_of(["F31", "M31"])[:70]:
        write(tree, f"{name[:4]}/{name}.JPG", jpeg(5000))
    write(tree, "AF31/AF31V.JPG", jpeg(5001))
    write(tree, "AM31/AM31H.JPG", jpeg(5002))
    said(load_kdef(tree, size=16), "Left out (2), a second file of an image: AF31/AF31V.JPG, AM31/AM31H.JPG.")


def test_a_folder_that_contradicts_the_name(tree, tmp_path):
    shutil.move(tree / "AF01/AF01ANS.JPG", tree / "AF02/AF01ANS.JPG")
    splits = load_kdef(tree, size=16)
    assert len(ids_of(splits)) == 419
    said(splits, "Left out (1), in a folder that contradicts the name: AF02/AF01ANS.JPG.")
    assert "AF01ANS" not in ids_of(splits)
    classes = reorganised(tree, tmp_path / "classes")
    shutil.move(classes / "happy/AM01HAS.JPG", classes / "sad/AM01HAS.JPG")
    assert "AM01HAS" not in ids_of(load_kdef(classes, size=16))


def test_where_no_study_is_possible(tree, tmp_path):
    refused(loading(tmp_path / "nowhere"), "KDEF cannot be found", "nowhere", "kdef.se")
    (tmp_path / "empty").mkdir()
    refused(loading(tmp_path / "empty"), "No KDEF images found", "AF01/AF01ANHL.JPG", "no file")
    write(tmp_path, "fer/train/angry/Training_1.jpg", jpeg(1))
    refused(loading(tmp_path / "fer"), "set `dataset` to fer2013", "train/angry/Training_1.jpg")
    refused(loading(write(tmp_path, "kdef.csv", b"emotion,pixels")), "No KDEF images found", "kdef.csv")
    refused(
        loading(tree / "AF01", protocol="subject"), "'validation' is without", "two subjects of one sex", "among 0"
    )
    refused(loading(tree, angles=("S",), aspect="stretch"), "Unknown aspect")
    for file in tree.rglob("*HA*.JPG"):
        file.write_bytes(b"")
    # Why they cannot be used stands in the same sentence.
    refused(loading(tree), "without images of a class", "none of happy", "Left out (60), damaged")
    black = encoded(Image.new("RGB", (56, 76)))
    for code in CODES:
        write(tmp_path, f"black/AF01/AF01{code}S.JPG", black)
    refused(loading(tmp_path / "black"), "'train' is without", "Left out (7), blank")
    refused(loading(tmp_path / "black", angles=("HL",)), "'train' is without", "Missing (980)")


@pytest.mark.parametrize(
    "wrong", [{"protocol": "official"}, {"angles": ()}, {"angles": "FL"}, {"angles": ("S", "LEFT")}], ids=str
)
def test_arguments_out_of_range(tmp_path, wrong):
    refused(loading(tmp_path, **wrong), repr(*wrong.values()))
