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

from fer_lib.datasets.cache import cached_splits, default_cache_dir, state_hash
from fer_lib.datasets.splits import ImageSet, Splits


class Reader:
    """Makes the same Splits each time, and counts how often it had to."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        images = np.random.default_rng(1).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)
        metadata = pd.DataFrame({"usage": ["Training", "é", "", "x", "y"], "session": [1, 2, 1, 2, 1]})
        train = ImageSet(images, np.arange(5), np.array(["a", "bb", "ü", "d", "e"]), metadata=metadata)
        return Splits(train, train.subset([4, 0]), None, "kdef", "random", notes=("One.", "Two."))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(b"content")
    return path


def entries(folder):
    return sorted(folder.glob("*"))


def test_the_second_load_is_the_first_without_reading(source, tmp_path):
    reader = Reader()
    made = cached_splits(source, {"protocol": "random"}, reader)
    found = cached_splits(source, {"protocol": "random"}, reader)
    assert reader.calls == 1
    assert found.test is None
    assert [found.dataset, found.protocol, found.notes] == ["kdef", "random", ("One.", "Two.")]
    assert found.fingerprint == made.fingerprint == Reader()().fingerprint
    for (_, one), (_, other) in zip(made.items(), found.items(), strict=True):
        for part in ("images", "labels", "ids"):
            assert np.array_equal(getattr(one, part), getattr(other, part))
            assert getattr(one, part).dtype == getattr(other, part).dtype
        assert one.class_names == other.class_names
        pd.testing.assert_frame_equal(one.metadata, other.metadata)


def test_another_or_a_changed_source_is_never_taken_for_the_first(source, tmp_path):
    """Of the same name, size and modification time, as files that are unpacked with their times are."""
    reader, times = Reader(), (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    cached_splits(source, {}, reader)
    other = tmp_path / "other" / source.name
    other.parent.mkdir()
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=times)
    cached_splits(other, {}, reader)
    assert reader.calls == 2
    time.sleep(0.02)  # the system's clock of files has a coarse step
    source.write_bytes(b"CoNtEnT")
    os.utime(source, ns=times)
    cached_splits(source, {}, reader)
    cached_splits(source, {}, reader)
    assert reader.calls == 3


def test_what_the_result_depends_on_is_part_of_the_key(source):
    reader = Reader()
    for how in ({"protocol": "paper"}, {"protocol": "official"}, {"protocol": "paper", "size": 96}):
        cached_splits(source, how, reader)
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
    "member": lambda data: data.replace(b"train/labels", b"train/lapels"),
    "huge shape": lambda data: data.replace(b"(5, 48, 48, 1)", b"(10**12, 48,1)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_recognised_and_made_again(source, tmp_path, damage):
    reader, cache = Reader(), tmp_path / "cache"
    whole = cached_splits(source, {}, reader)
    (entry,) = entries(cache)
    entry.write_bytes(DAMAGE[damage](entry.read_bytes()))
    with pytest.warns(UserWarning, match="damaged"):
        again = cached_splits(source, {}, reader)
    assert reader.calls == 2
    assert np.array_equal(again.train.images, whole.train.images)
    cached_splits(source, {}, reader)
    assert reader.calls == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bits_change_no_data(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "source").write_bytes(b"content")
    reader = Reader()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FER_CACHE", str(folder / "cache"))
        whole = cached_splits(folder / "source", {}, reader)
        (entry,) = entries(folder / "cache")
        content = bytearray(entry.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8, unique=True)):
            content[place] ^= data.draw(st.integers(1, 255))
        entry.write_bytes(content)
        # Bits that only tools for archives look at, such as times, may differ unnoticed.
        with warnings.catch_warnings(record=True) as caught:
            again = cached_splits(folder / "source", {}, reader)
    assert (reader.calls == 2) == bool(caught)
    for part in ("images", "labels", "ids"):
        assert np.array_equal(getattr(again.train, part), getattr(whole.train, part))
    assert again.fingerprint == whole.fingerprint and again.notes == whole.notes


@pytest.mark.parametrize("kind", ["folder", "fifo", "/dev/zero"])
def test_something_else_in_an_entrys_place(source, tmp_path, kind):
    cached_splits(source, {}, Reader())
    (entry,) = entries(tmp_path / "cache")
    entry.unlink()
    {"folder": entry.mkdir, "fifo": lambda: os.mkfifo(entry)}.get(kind, lambda: entry.symlink_to(kind))()
    with pytest.warns(UserWarning, match="damaged"):
        assert len(cached_splits(source, {}, Reader()).train) == 5


def test_a_cache_that_cannot_be_written_is_a_warning(source, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("FER_CACHE", str(blocked / "cache"))
    with pytest.warns(UserWarning, match="not kept"):
        splits = cached_splits(source, {}, Reader())
    assert len(splits.train) == 5


def test_no_half_written_entry_stays_behind(source, tmp_path):
    cached_splits(source, {}, Reader())
    assert len(entries(tmp_path / "cache")) == 1


def test_the_default_place_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("FER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "fer-study"
