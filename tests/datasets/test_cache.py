"""The cache of decoded images: found by the state of the files."""

import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest

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
    (path := tmp_path / "archive.zip").write_bytes(b"content")
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


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b""], ids=["cut", "empty"])
def test_a_damaged_entry_is_made_again(source, own_cache, damage):
    reader = Reader()
    whole = cached_images(source, {}, reader)
    (entry,) = own_cache.rglob("output.pkl")
    entry.write_bytes(damage(entry.read_bytes()))
    assert same(cached_images(source, {}, reader), whole) and reader.calls == 2
    cached_images(source, {}, reader)
    assert reader.calls == 2


def test_the_default_place_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("FER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "fer-study"
