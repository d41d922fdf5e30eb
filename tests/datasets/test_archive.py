"""Folders, archives and single files: every form is read, nothing is extracted, damage is named at once."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import grey, refused, tar_of, zip_of
from PIL import Image

from fer_lib.datasets import archive
from fer_lib.datasets.archive import decode, open_files


@pytest.fixture
def folder(tmp_path):
    """Two files in folders."""
    for name, content in (("a/x.png", b"one"), ("b/é.png", b"two" * 9000)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    return tmp_path / "in"


def contents(path):
    with open_files(path) as files:
        return {name: files.read(name) for name in files.names}


def opened(path):
    return lambda: contents(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder, path: folder,
        zip_of,
        lambda folder, path: zip_of(folder, path, separator="\\"),
        lambda folder, path: tar_of(folder, path, "w"),
        tar_of,
    ],
    ids=["folder", "zip", "windows", "tar", "tar.gz"],
)
def test_every_form_has_the_same_files(folder, tmp_path, make):
    found = contents(make(folder, tmp_path / "made"))
    assert {name.removeprefix("data/"): content for name, content in found.items()} == {
        "a/x.png": b"one",
        "b/é.png": b"two" * 9000,
    }


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_single_file_is_read_compressed_or_not(tmp_path, compress):
    path = tmp_path / ("table.csv" if compress is bytes else "table.csv.gz")
    path.write_bytes(compress(b"a,b\n1,2\n"))
    assert contents(path) == {"table.csv": b"a,b\n1,2\n"}


def test_what_systems_leave_behind_is_no_file(folder):
    left = ["__MACOSX/a/._x.png", ".DS_Store", "a/Thumbs.db", "Icon\r", "a/._x.png", ".Trash-1000/files/x.png"]
    left += ["@eaDir/x.png", "a/@eaDir/x.png", "$RECYCLE.BIN/x.png", ".thumbnails/x.png", "lost+found/x.png"]
    for name in left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "c").mkdir()
    with open_files(folder) as files:
        assert files.names == ["a/x.png", "b/é.png"] and files.clutter == sorted(left)
        assert files.folders == ["a", "b", "c"]


def test_what_an_image_is_its_content_decides_where_the_suffix_is_another(tmp_path):
    picture = grey(0, 8)
    for name, kind in (("a.jfif", "JPEG"), ("b.pgm", "PPM"), ("c", "BMP"), ("d.image", "WEBP"), ("e.x", "TIFF")):
        picture.save(tmp_path / name, kind)
    (tmp_path / "f.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (tmp_path / "g.jpg").write_text("not what it says")
    for name, content in (("film.mp4", b"\0\0\0\x18ftypisom"), ("notes.txt", b"BMW and others"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
    with open_files(tmp_path) as files:
        assert files.images == ["a.jfif", "b.pgm", "c", "d.image", "e.x", "f.heic", "g.jpg"]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"Rar!\x1a\x07\x00", ["Rar!", "extract it and give the folder"]),
        (b"  <!DOCTYPE html><title>Sign in</title>", ["<!DOCTYPE html>", "Download it again"]),
        (b"PK\x03\x04 and no more", ["truncated", "Download it again"]),
        (b"", ["not a zip"]),
        (b"\x1f\x8b\x08 no gzip", ["truncated or damaged"]),
    ],
    ids=lambda value: value[:8] if isinstance(value, bytes) else "",
)
def test_other_forms_are_refused_with_their_first_bytes(tmp_path, content, words):
    (tmp_path / "archive.zip").write_bytes(content)
    refused(opened(tmp_path / "archive.zip"), "archive.zip", *words)


@pytest.mark.parametrize("make", [zip_of, tar_of, lambda *where: tar_of(*where, "w")], ids=["zip", "gz", "tar"])
def test_a_truncated_archive(folder, tmp_path, make):
    (folder / "c.png").write_bytes(os.urandom(90_000))
    data = make(folder, tmp_path / "archive.zip").read_bytes()
    for share in (0.001, 0.5, 0.8):
        (tmp_path / "archive.zip").write_bytes(data[: int(share * len(data))])
        refused(opened(tmp_path / "archive.zip"))


def test_a_damaged_entry_is_named_and_an_encrypted_one_told(folder, tmp_path):
    path = zip_of(folder, tmp_path / "a.zip")
    for mark, offset, words in ((b"twotwo", 1000, ["damaged", "b/é.png"]), (b"PK\x01\x02", 8, ["encrypted"])):
        data = bytearray(path.read_bytes())
        data[data.index(mark) + offset] ^= 1  # bit 0 of the flags in the central directory: encrypted
        (tmp_path / "b.zip").write_bytes(data)
        refused(opened(tmp_path / "b.zip"), *words)


def test_names_links_and_devices_of_an_archive_reach_nothing_outside(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in ("../x.png", "/a/../../x.png", "./b/x.png"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            file.addfile(entry, io.BytesIO(b"x"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            entry = tarfile.TarInfo(f"c/{kind.decode()}")
            entry.type, entry.linkname = kind, "/etc/passwd"
            file.addfile(entry)
    with open_files(tmp_path / "a.tar") as files:
        assert files.clutter == ["../x.png", "a/../../x.png"] and files.read("b/x.png") == b"x"
        for name in files.names[1:]:
            refused(lambda name=name: files.read(name), "damaged", name)


def test_limits_are_of_what_is_read_and_in_the_message(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 20_000)
    for path in (folder, zip_of(folder, tmp_path / "a.zip"), tar_of(folder, tmp_path / "a.tgz")):
        refused(opened(path), "bytes exceeds", "at most 20,000", "27,000", "b/é.png")
        with open_files(path) as files:
            assert files.read(files.names[0]) == b"one"


def test_a_large_image_beside_a_film_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "scan.tif")
    with open(tmp_path / "film.mov", "wb") as film:
        film.truncate(3 << 30)
    assert (tmp_path / "scan.tif").stat().st_size > 18_000_000
    with open_files(tmp_path) as files:
        assert files.images == ["scan.tif"]
        images, (header,) = decode(files, files.images, 96, colour=True, aspect="crop")
    assert header == (2400, 2500, "RGB", False) and images.shape == (1, 96, 96, 3)


def test_decoding_ends_in_bounded_memory(tmp_path, monkeypatch):
    grey(0, 8).save(tmp_path / "a.png")
    monkeypatch.setattr(archive, "MAX_DECODED_BYTES", 10_000)
    with open_files(tmp_path) as files:
        refused(lambda: decode(files, files.images * 2, 96, False, "crop"), "decoded images exceeds", "18,432")
        monkeypatch.setattr(archive, "MAX_PIXELS", 63)
        (error,) = decode(files, files.images, 96, False, "crop")[1]
    assert "at most 63" in str(error)


@pytest.mark.parametrize("form", ["zip", "zip whose header lies", "gz"])
def test_a_bomb_is_refused_before_it_grows(tmp_path, form, monkeypatch):
    path = tmp_path / f"a.{form[:3].strip()}"
    if form != "gz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("train/angry/x.png", bytes(200 << 20))
            monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 1 << 20)
            if form != "zip":  # the size that the reader goes by, of 1,000 bytes
                file.infolist()[0].file_size = 1000
    else:
        path.write_bytes(gzip.compress(bytes(100 << 20), 1))
        monkeypatch.setattr(archive, "MAX_INFLATED_BYTES", 50 << 20)
    tracemalloc.start()
    refused(opened(path), "damaged" if "lies" in form else "exceeds the limit")
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_only_regular_files_are_opened_and_at_once(folder):
    os.mkfifo(folder / "a" / "fifo.png")
    (folder / "a" / "zero.png").symlink_to("/dev/zero")
    with open_files(folder) as files:
        for name in ("a/fifo.png", "a/zero.png"):
            refused(lambda name=name: files.read(name), "not a regular file", name)
    for path in (Path("/dev/zero"), folder / "a" / "fifo.png"):
        refused(opened(path), "not a regular file")
    (folder / "a" / "gone.png").symlink_to(folder / "nowhere")
    with open_files(folder) as files:  # a link that leads nowhere is an error for who reads it
        refused(lambda: files.read("a/gone.png"), "No such file", "a/gone.png")
        assert files.read("a/x.png") == b"one"
