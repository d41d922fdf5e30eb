"""The cache of decoded images: found by the state of the files, checked while read, never needed."""

import os
import shutil
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.datasets.cache import cached_images, default_cache_dir, state_hash
from fer_lib.datasets.splits import ImageSet


class Reader:
    """Makes the same images each time, and counts how often it had to."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        images = np.random.default_rng(1).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)
        metadata = pd.DataFrame({"usage": ["Training", "é", "", "x", "y"], "session": [1, 2, 1, 2, 1]})
        ids = np.array(["a", "bb", "ü", "d", "e"])
        return ImageSet(images, np.arange(5), ids, tuple("vwxyz"), metadata), ["One.", "Two."]


def same(one, other):
    for part in ("images", "labels", "ids"):
        assert np.array_equal(getattr(one[0], part), getattr(other[0], part))
        assert getattr(one[0], part).dtype == getattr(other[0], part).dtype
    pd.testing.assert_frame_equal(one[0].metadata, other[0].metadata)
    return one[0].class_names == other[0].class_names and one[1] == other[1]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(b"content")
    return path


def test_the_second_load_is_the_first_without_reading(source):
    reader = Reader()
    made, found = (cached_images(source, {"protocol": "random"}, reader) for _ in range(2))
    assert reader.calls == 1 and same(made, found) and same(found, Reader()())


def test_another_or_a_changed_source_is_never_taken_for_the_first(source, tmp_path):
    """Of the same name, size and modification time, as files that are unpacked with their times are."""
    reader, times = Reader(), (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    cached_images(source, {}, reader)
    other = tmp_path / "other" / source.name
    other.parent.mkdir()
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=times)
    cached_images(other, {}, reader)
    assert reader.calls == 2
    time.sleep(0.02)  # the system's clock of files has a coarse step
    source.write_bytes(b"CoNtEnT")
    os.utime(source, ns=times)
    cached_images(source, {}, reader)
    cached_images(source, {}, reader)
    assert reader.calls == 3


def test_what_the_result_depends_on_is_part_of_the_key(source):
    reader = Reader()
    for how in ({"protocol": "paper"}, {"protocol": "official"}, {"protocol": "paper", "size": 96}):
        cached_images(source, how, reader)
    assert reader.calls == 3


def test_any_change_in_a_folder_is_seen(tmp_path):
    folder = tmp_path / "tree"
    (folder / "train").mkdir(parents=True)
    image = folder / "train" / "a.jpg"
    image.write_bytes(b"1")
    hashes = [state_hash(folder)]
    for change in (
        lambda: image.write_bytes(b"12"),
        lambda: image.rename(folder / "b.jpg"),
        lambda: os.replace(shutil.copy2(folder / "b.jpg", folder / "c.jpg"), folder / "b.jpg"),
    ):
        time.sleep(0.02)
        change()
        hashes.append(state_hash(folder))
    assert len(set(hashes)) == 4 and state_hash(folder) == hashes[-1]


DAMAGE = {
    # A flipped bit in the middle lies in an image, where only a checksum can tell.
    "byte": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "tail": lambda data: data[:-100],
    "empty": lambda data: b"",
    "text": lambda data: b"no archive",
    "member": lambda data: data.replace(b"labels.npy", b"lapels.npy"),
    "huge shape": lambda data: data.replace(b"(5, 48, 48, 1)", b"(10**12, 48,1)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_recognised_and_made_again(source, own_cache, damage):
    reader = Reader()
    whole = cached_images(source, {}, reader)
    (entry,) = own_cache.glob("*")
    entry.write_bytes(DAMAGE[damage](entry.read_bytes()))
    with pytest.warns(UserWarning, match="damaged"):
        again = cached_images(source, {}, reader)
    assert reader.calls == 2 and same(again, whole)
    cached_images(source, {}, reader)
    assert reader.calls == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bits_change_no_data(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "source").write_bytes(b"content")
    reader = Reader()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FER_CACHE", str(folder / "cache"))
        whole = cached_images(folder / "source", {}, reader)
        (entry,) = (folder / "cache").glob("*")
        content = bytearray(entry.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8, unique=True)):
            content[place] ^= data.draw(st.integers(1, 255))
        entry.write_bytes(content)
        # Bits that only tools for archives look at, such as times, may differ unnoticed.
        with warnings.catch_warnings(record=True) as caught:
            again = cached_images(folder / "source", {}, reader)
    assert (reader.calls == 2) == bool(caught) and same(again, whole)


def test_a_cache_that_cannot_be_written_is_a_warning(source, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("FER_CACHE", str(blocked / "cache"))
    with pytest.warns(UserWarning, match="not kept"):
        assert len(cached_images(source, {}, Reader())[0]) == 5


def test_the_default_place_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("FER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "fer-study"
