"""Folders, archives and single files: every form is read, and every hostile or damaged one refused at once."""

import bz2
import gzip
import lzma
import os
import shutil
import socket
import tarfile
import time
import tracemalloc
import zipfile

import pytest
from data_files import refused, tar_of, zip_of

from fer_lib.datasets import archive
from fer_lib.datasets.archive import data_path, open_files


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
        lambda folder, path: tar_of(folder, path, "w:bz2"),
        lambda folder, path: tar_of(folder, path, "w:xz"),
    ],
    ids=["folder", "zip", "windows", "tar", "tar.gz", "tar.bz2", "tar.xz"],
)
def test_every_form_has_the_same_files(folder, tmp_path, make):
    found = contents(make(folder, tmp_path / "made"))
    assert {name.removeprefix("data/"): content for name, content in found.items()} == {
        "a/x.png": b"one",
        "b/é.png": b"two" * 9000,
    }


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_single_file_is_read_compressed_or_not(tmp_path, compress):
    path = tmp_path / ("table.csv" if compress is bytes else "table.csv.gz")
    path.write_bytes(compress(b"a,b\n1,2\n"))
    assert contents(path) == {"table.csv": b"a,b\n1,2\n"}


def test_what_systems_leave_behind_is_no_file(folder):
    for name in ("__MACOSX/a/._x.png", ".DS_Store", "a/Thumbs.db", "Icon\r"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    with open_files(folder) as files:
        assert files.names == ["a/x.png", "b/é.png"] and len(files.clutter) == 4


@pytest.mark.parametrize(
    "content, words",
    [
        (b"Rar!\x1a\x07\x00", ["RAR", "Extract"]),
        (b"7z\xbc\xaf\x27\x1c\0\0", ["7z", "Extract"]),
        (b"PAR1\x15\x04", ["Parquet", "fer2013.csv"]),
        (b"  <!DOCTYPE html><title>Sign in</title>", ["web page", "login"]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ["Git LFS pointer", "git lfs pull"]),
        (b"\x89PNG\r\n\x1a\n", ["single image", "folder"]),
        (b"PK\x03\x04 and no more", ["truncated", "Download it again"]),
        (b"", ["not a zip"]),
        (b"\x1f\x8b\x08 no gzip", ["truncated or damaged"]),
        (b"BZh91AY", ["truncated or damaged"]),
    ],
    ids=lambda value: value[:8] if isinstance(value, bytes) else "",
)
def test_other_forms_are_recognised_by_their_first_bytes(tmp_path, content, words):
    (tmp_path / "archive.zip").write_bytes(content)
    refused(opened(tmp_path / "archive.zip"), "archive.zip", *words)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.8])
@pytest.mark.parametrize("make", [zip_of, tar_of, lambda *where: tar_of(*where, "w")], ids=["zip", "gz", "tar"])
def test_a_truncated_archive(folder, tmp_path, make, share):
    (folder / "c.png").write_bytes(os.urandom(90_000))
    data = make(folder, tmp_path / "archive.zip").read_bytes()
    (tmp_path / "archive.zip").write_bytes(data[: int(share * len(data))])
    refused(opened(tmp_path / "archive.zip"))


def test_a_damaged_entry_is_named(folder, tmp_path):
    path = zip_of(folder, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"twotwo") + 1000] ^= 1
    path.write_bytes(data)
    refused(opened(path), "damaged", "b/é.png")


def test_an_encrypted_zip(folder, tmp_path):
    path = zip_of(folder, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # bit 0 of the flags in the central directory
    path.write_bytes(data)
    refused(opened(path), "encrypted")


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x", "C:/x.png", "..\\x.png", "C:\\x.png", "\\x"])
def test_path_traversal(folder, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(name, b"x")
    refused(opened(tmp_path / "a.zip"), "path traversal")
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(tarfile.TarInfo(name))
    refused(opened(tmp_path / "a.tar"), "path traversal")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_archives(tmp_path, kind):
    entry = tarfile.TarInfo("train/angry/x.png")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(entry)
    refused(opened(tmp_path / "a.tar"), "link or a device", "train/angry/x.png")
    entry = zipfile.ZipInfo("x.png")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    refused(opened(tmp_path / "a.zip"), "link or a device", "x.png")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_inflate_without_limit(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr("x.png", bytes(1000))
    refused(opened(tmp_path / "a.zip"), "compression", "Extract")


def test_two_entries_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a\\x.png", b"x")
        file.writestr("a/x.png", b"y")
    refused(opened(tmp_path / "a.zip"), "two entries", "a/x.png")


def test_limits(folder, tmp_path, monkeypatch):
    path = zip_of(folder, tmp_path / "a.zip")
    for name, value, words in (
        ("MAX_FILES", 1, ["files exceeds"]),
        ("MAX_TOTAL_BYTES", 20_000, ["bytes exceeds"]),
        ("MAX_FILE_BYTES", 20_000, ["bytes exceeds", "b/é.png"]),
        ("MAX_IMAGE_BYTES", 20_000, ["bytes exceeds", "b/é.png"]),
        ("MAX_NAME", 6, ["characters in a name", "a/x.png"]),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(archive, name, value)
            refused(opened(folder), *words)
            refused(opened(path), *words)


@pytest.mark.parametrize("form", ["zip", "gz"])
def test_a_bomb_is_refused_before_it_grows(tmp_path, form):
    path = tmp_path / f"a.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("train/angry/x.png", bytes(200 << 20))
    else:
        path.write_bytes(gzip.compress(bytes(100 << 20), 1))
    tracemalloc.start()
    refused(opened(path), "exceeds the limit")
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_names_that_no_message_or_id_can_hold(tmp_path):
    for name in (b"\xff.png", b"a\x1b[2J.png", b"a\nb.png"):
        folder = tmp_path / "in"
        folder.mkdir()
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(b"x")
        refused(opened(folder), "Invalid file name", "Rename")
        shutil.rmtree(folder)


def test_only_regular_files_are_opened_and_at_once(folder):
    os.mkfifo(folder / "a" / "fifo.png")
    (folder / "a" / "zero.png").symlink_to("/dev/zero")
    (folder / "a" / "gone.png").symlink_to(folder / "nowhere")
    with socket.socket(socket.AF_UNIX) as server, open_files(folder):
        os.chdir(folder)
        server.bind("socket.png")
    start = time.monotonic()
    with open_files(folder) as files:
        for name in ("a/fifo.png", "a/zero.png", "socket.png"):
            refused(lambda name=name: files.read(name), "not a regular file", name)
        refused(lambda: files.read("a/gone.png"), "No such file")
    for path in ("/dev/zero", folder / "a" / "fifo.png"):
        refused(opened(path), "not a regular file")
    assert time.monotonic() - start < 5


def test_a_link_to_a_folder_above_ends(folder):
    (folder / "a" / "up").symlink_to(folder)
    refused(opened(folder), "Too many levels of symbolic links")


@pytest.mark.parametrize(
    "path, words",
    [
        ("", ["path of the data is empty"]),
        ("  ", ["path of the data is empty"]),
        ("nowhere", ["do not exist", "Where: nowhere", "ask them"]),
        ("~nosuchuser/x", ["do not exist", "home directory"]),
        ("a" * 5000, ["do not exist", "too long"]),
        ("a\0b", ["do not exist", "a\\x00b"]),
    ],
    ids=["empty", "blank", "nowhere", "user", "long", "null"],
)
def test_paths_that_cannot_be(path, words):
    assert len(refused(lambda: data_path(path, "ask them"), *words)) < 600
