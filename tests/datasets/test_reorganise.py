"""The reorganisation by class: copies that are whole or absent, of a source that stays as it was."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from fer_lib.datasets import kdef
from fer_lib.datasets.kdef import load_kdef, reorganise_kdef
from fer_lib.errors import DataError, RunError

CLASS_OF = {
    **{"AN": "angry", "DI": "disgust", "AF": "fear", "HA": "happy"},
    **{"NE": "neutral", "SA": "sad", "SU": "surprise"},
}


@pytest.fixture
def source(tmp_path):
    """Two persons, straight, in both sessions: 28 pictures; one is misnamed, and one file is no picture."""
    for seed, name in enumerate(f"{s}{p}{code}S" for s in "AB" for p in ("F30", "F32") for code in CLASS_OF):
        write_picture(tmp_path / "KDEF" / name[:4] / f"{name}.JPG", seed)
    write_picture(tmp_path / "KDEF" / "AM31" / "AM31H.JPG", 99)
    (tmp_path / "KDEF" / "readme.txt").write_text("KDEF")
    return tmp_path / "KDEF"


def write_picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (76, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def expected(source):
    pictures = {name: content for name, content in contents(source).items() if name.endswith("S.JPG")}
    by_class = {f"{CLASS_OF[name[-7:-5]]}/{name[-11:]}": content for name, content in pictures.items()}
    return by_class | {"surprise/AM31SUHR.JPG": contents(source)["AM31/AM31H.JPG"]}


def test_seven_folders_of_copies(source, tmp_path):
    before = contents(source)
    done = reorganise_kdef(source, tmp_path / "new" / "classes")
    assert (done.copied, done.kept) == (29, 0)
    assert contents(tmp_path / "new" / "classes") == expected(source)
    assert {folder.name for folder in (tmp_path / "new" / "classes").iterdir()} == set(CLASS_OF.values())
    assert contents(source) == before
    assert any("AM31SUHR" in note for note in done.notes) and any("readme.txt" in note for note in done.notes)


def test_it_is_read_as_its_source(source, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    reorganise_kdef(source, tmp_path / "classes")
    one, other = (load_kdef(path, size=16) for path in (source, tmp_path / "classes"))
    assert one.fingerprint == other.fingerprint


def test_a_zip_is_a_source_too(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "kdef.zip", "w") as archive:
        for name, content in contents(source).items():
            archive.writestr(f"KDEF/{name}", content)
    # A zip in the target is not mixed with anything.
    reorganise_kdef(tmp_path / "kdef.zip", tmp_path / "classes")
    assert contents(tmp_path / "classes") == expected(source)


def test_a_second_call_goes_on_where_the_first_stopped(source, tmp_path, monkeypatch):
    write, written = kdef.write_atomically, []

    def disk_is_full(path, content):
        if len(written) == 10:
            raise RunError("A file could not be written")
        written.append(path)
        write(path, content)

    monkeypatch.setattr(kdef, "write_atomically", disk_is_full)
    with pytest.raises(RunError):
        reorganise_kdef(source, tmp_path / "classes")
    assert contents(tmp_path / "classes").items() <= expected(source).items()
    monkeypatch.setattr(kdef, "write_atomically", write)
    times = {path: path.stat().st_mtime_ns for path in written}
    done = reorganise_kdef(source, tmp_path / "classes")
    assert (done.copied, done.kept) == (19, 10)
    assert {path: path.stat().st_mtime_ns for path in written} == times
    assert contents(tmp_path / "classes") == expected(source)
    assert reorganise_kdef(source, tmp_path / "classes")[:2] == (0, 29)


def test_what_stands_in_the_target_is_left_alone(source, tmp_path):
    mine = tmp_path / "classes" / "angry" / "AF30ANS.JPG"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="Another file is in"):
        reorganise_kdef(source, tmp_path / "classes")
    assert mine.read_bytes() == b"mine"


def test_nothing_is_written_through_links(source, tmp_path):
    before = contents(source)
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes" / "angry").symlink_to(source / "AF30")
    with pytest.raises(DataError, match="A link is in an image's place"):
        reorganise_kdef(source, tmp_path / "classes")
    (tmp_path / "classes" / "angry").unlink()
    (tmp_path / "classes" / "angry").mkdir()
    dead = tmp_path / "classes" / "angry" / "AF30ANS.JPG"
    dead.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="A link is in an image's place"):
        reorganise_kdef(source, tmp_path / "classes")
    assert dead.is_symlink() and not (tmp_path / "nowhere").exists() and contents(source) == before


def test_source_and_target_may_not_overlap(source, tmp_path):
    (tmp_path / "link").symlink_to(source)
    before = contents(tmp_path)
    for target in (source, source / "classes", source / "AF30", tmp_path, tmp_path / "link" / "classes"):
        with pytest.raises(DataError, match="mixed with their copies"):
            reorganise_kdef(source, target)
    with pytest.raises(DataError, match="mixed with their copies"):
        reorganise_kdef(tmp_path / "link", source / ".." / "KDEF" / "classes")
    assert contents(tmp_path) == before


def test_other_places_that_cannot_be(source, tmp_path):
    with pytest.raises(DataError, match="do not exist"):
        reorganise_kdef(tmp_path / "nowhere", tmp_path / "classes")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a folder"):
        reorganise_kdef(source, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="data set is not there"):
        reorganise_kdef(tmp_path / "empty", tmp_path / "classes")
