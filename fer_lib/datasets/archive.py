"""The files of a data set, in a folder or in a zip, both read where they stand and through one interface."""

import io
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from fer_lib.errors import DataError

# FER-2013 has 35,887 images of about 2 kB, or one CSV of 300 MB. What passes these limits is no such data set, or
# a zip bomb. `zipfile` never yields more than the size stated in the directory, so checking that size is enough.
MAX_FILES = 200_000
MAX_FILE_BYTES = 1 << 30
MAX_TOTAL_BYTES = 4 << 30

CLUTTER_FOLDERS = {"__MACOSX", ".ipynb_checkpoints", ".git"}
CLUTTER_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


def open_files(path):
    """Opens a folder or a zip; the caller closes it (`with open_files(path) as files:`).

    Args:
        path: a folder, or a zip archive, which is read in place and never unpacked.

    Returns:
        An object with `path`; `names`, the sorted names of its files, with `/` between folders; `folders`, the
        set of folder names; `clutter`, the names of files that operating systems and editors leave behind, which
        are not among `names`; and `open(name)`, which gives a binary stream.

    Raises:
        DataError: not a folder or a zip, truncated, encrypted, with names that lead out of it, or absurdly large.
    """
    path = Path(path)
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


def is_zip(path):
    """True where the file begins as a zip does, whatever its name; a truncated zip still does."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def list_folder(path):
    """What stands under a folder, links to folders followed.

    Returns:
        A dict of file name, relative and with `/`, -> `os.stat_result`; and the set of the folders' names.

    Raises:
        DataError: something cannot be read, or there are more files than any data set here has.
    """
    files, folders, waiting = {}, set(), [""]
    try:
        while waiting:
            prefix = waiting.pop()
            with os.scandir(os.path.join(path, prefix)) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir():
                        folders.add(name)
                        waiting.append(f"{name}/")
                    else:
                        files[name] = _status(entry)
            # Here and not at the end: a link to a folder above, or `/`, would go on for very long.
            _check_number(path, len(files) + len(folders))
    except OSError as error:
        raise DataError("Data cannot be read", where=error.filename, found=error.strerror) from error
    return files, folders


def _status(entry):
    try:
        return entry.stat()
    except FileNotFoundError:
        # A link that leads nowhere is listed like a damaged file: only who opens it needs to care.
        return entry.stat(follow_symlinks=False)


class FolderFiles:
    """The files under a folder, links to folders followed."""

    def __init__(self, path):
        self.path = path
        files, self.folders = list_folder(path)
        _check_sizes(path, {name: status.st_size for name, status in files.items()})
        self.names, self.clutter = _without_clutter(files)

    def open(self, name):
        """A binary stream of the file `name`."""
        try:
            return open(self.path / name, "rb")
        except OSError as error:
            raise DataError("A file cannot be read", where=self.path / name, found=error.strerror) from error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


class ZipFiles:
    """The files in a zip archive."""

    def __init__(self, path):
        self.path = path
        self._zip = _open_zip(path)
        try:
            entries = self._zip.infolist()
            _check_entries(path, entries)
            self.folders = _folders_of(entries)
            self.names, self.clutter = _without_clutter([e.filename for e in entries if not e.is_dir()])
        except DataError:
            self._zip.close()
            raise

    def open(self, name):
        """A binary stream of the entry `name`; a damaged entry raises DataError while it is read."""
        return io.BufferedReader(_Entry(self._zip, self.path, name), 1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._zip.close()
        return False


class _Entry(io.RawIOBase):
    """A zip entry's bytes; damage found while they are read is a DataError that names the entry."""

    _DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)

    def __init__(self, archive, path, name):
        self._where = f"{path}: {name}"
        self._stream = self._try(archive.open, name)

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._try(self._stream.read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _try(self, function, *arguments):
        try:
            return function(*arguments)
        except self._DAMAGE as error:
            raise DataError(
                "An entry of the zip is damaged",
                where=self._where,
                found=str(error),
                advice="Download it again",
            ) from error


def _open_zip(path):
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        if is_zip(path):
            raise DataError(
                "The zip is truncated or damaged",
                where=path,
                expected="a whole zip archive, which ends with its table of contents",
                found=f"{path.stat().st_size:,} bytes without a readable one ({error})",
                advice="Download it again",
            ) from error
        raise DataError(
            "The file is not a zip archive", where=path, found=f"a file that begins with {_first_bytes(path)}"
        ) from error


def _check_entries(path, entries):
    seen = set()
    for entry in entries:
        name = entry.filename
        if _leads_out(name) or stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(
                "The zip has an entry that leads out of it",
                where=path,
                expected="relative names such as train/angry/Training_3908.jpg",
                found=repr(name),
                advice="Such a zip was made by mistake or to do harm; get it from another place",
            )
        if entry.flag_bits & 1:
            raise DataError("The zip is encrypted", where=f"{path}: {name}", advice="Unpack it, give the folder")
        if name in seen:
            raise DataError("The zip has two entries of one name", where=path, found=repr(name))
        seen.add(name)
    _check_sizes(path, {entry.filename: entry.file_size for entry in entries})


def _leads_out(name):
    # A backslash or a drive letter is a folder to Windows, and a plain character elsewhere: one zip, two trees.
    return name.startswith("/") or ".." in name.split("/") or "\\" in name or name[1:2] == ":"


def _check_sizes(path, sizes):
    _check_number(path, len(sizes))
    largest = max(sizes, key=sizes.get, default=None)
    if largest is not None and sizes[largest] > MAX_FILE_BYTES:
        raise DataError(
            "A file is absurdly large",
            where=f"{path}: {largest}",
            expected=f"at most {MAX_FILE_BYTES:,} bytes",
            found=f"{sizes[largest]:,} bytes",
        )
    if (total := sum(sizes.values())) > MAX_TOTAL_BYTES:
        raise DataError(
            "The files are absurdly large together",
            where=path,
            expected=f"at most {MAX_TOTAL_BYTES:,} bytes",
            found=f"{total:,} bytes",
        )


def _check_number(path, number):
    if number > MAX_FILES:
        raise DataError(
            "There are far too many files",
            where=path,
            expected=f"at most {MAX_FILES:,}",
            found=f"{number:,} or more",
        )


def _folders_of(entries):
    folders = {entry.filename.rstrip("/") for entry in entries if entry.is_dir()}
    for entry in entries:
        folders.update(parent.as_posix() for parent in PurePosixPath(entry.filename).parents)
    return folders - {"."}


def _without_clutter(names):
    clutter = {name for name in names if _is_clutter(name)}
    return sorted(set(names) - clutter), sorted(clutter)


def _is_clutter(name):
    *folders, last = name.split("/")
    return not CLUTTER_FOLDERS.isdisjoint(folders) or last.lower() in CLUTTER_FILES or last.startswith("._")


def _first_bytes(path):
    with open(path, "rb") as file:
        return file.read(8) or "nothing: it is empty"
