"""The files of a data set, in a folder, in an archive or alone, read in place through one interface."""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from fer_lib.errors import DataError, shown

# FER-2013 has 35,887 images of about 2 kB, or one CSV of 300 MB; KDEF has 4,900 images of about 200 kB.
MAX_FILES = 200_000
MAX_NAME = 400
MAX_IMAGE_BYTES = 16 << 20
MAX_FILE_BYTES = 1 << 30
MAX_TOTAL_BYTES = 4 << 30
MAX_INFLATION = 50  # a CSV of FER-2013 shrinks to a third, a bomb to a thousandth

CLUTTER_FOLDERS = {"__MACOSX", ".ipynb_checkpoints", ".git"}
CLUTTER_FILES = {".ds_store", "thumbs.db", "desktop.ini", "icon\r"}
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),
)
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
# First bytes of what is saved under the name of data, what it is, and what to do.
_FOREIGN = (
    (rb"Rar!", "a RAR archive", "Extract it and give the folder"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", "Extract it and give the folder"),
    (rb"PAR1", "a Parquet table", "Give fer2013.csv, or the images in a folder for each class"),
    (rb"\x89HDF", "an HDF5 file", "Give fer2013.csv, or the images in a folder for each class"),
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, not the data themselves",
        "Run `git lfs pull` in its repository",
    ),
    (rb"/?(\.\./)*\.?git?/?annex/objects", "a git-annex pointer, not the data themselves", "Run `git annex get`"),
    (rb"(\xef\xbb\xbf)?\s*<", "a web page", "Its download may need a login: download the data in a browser"),
    (rb"\x89PNG|\xff\xd8\xff", "a single image", "Give the folder that holds the images of all classes"),
)


def data_path(path, where_to_get_it=None, must_exist=True):
    """Return a path, `~` expanded, as a Path that exists, unless it need not; a DataError says why there is none."""
    if not str(path).strip():
        raise DataError("The path of the data is empty", expected="a file or a folder", advice=where_to_get_it)
    try:
        found = Path(path).expanduser()
        os.stat(found)
    except FileNotFoundError as error:
        if must_exist:
            raise DataError("The data do not exist", where=path, advice=where_to_get_it) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError("The path of the data cannot be used", where=path, found=reason) from error
    return found


def open_regular(path, most=MAX_TOTAL_BYTES):
    """Open a regular file of at most `most` bytes for reading; DataError for a pipe, a device, or a larger one."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("This is not a regular file", path, "a file", "a folder, a pipe or a device")
        _check_size(path, status.st_size, most)
        return open(path, "rb")
    except OSError as error:
        raise DataError("A file cannot be read", where=path, found=error.strerror) from error


def check_kind(head, where):
    """DataError if first bytes are those of something that is often saved under the name of data by mistake."""
    for pattern, kind, advice in _FOREIGN:
        if re.match(pattern, head):
            raise DataError("The file is not in a form that can be read", where=where, found=kind, advice=advice)


class Files:
    """Files that are read in place.

    Args:
        path: the folder, archive or file.
        sizes: a dict of name, with `/` between folders, -> bytes.
        folders: the names of its folders.
        open_stream: a callable that takes a name and returns a binary stream.

    Attributes:
        names: the sorted names, without `clutter`, the files that operating systems and editors leave behind.
    """

    def __init__(self, path, sizes, folders, open_stream):
        self.path, self.folders, self._sizes, self._open = path, folders, sizes, open_stream
        self.clutter = sorted(filter(_is_clutter, sizes))
        self.names = sorted(sizes.keys() - set(self.clutter))
        _check_number(path, len(sizes))
        for name in self.names:
            _check_name(path, name)
            _check_size(f"{path}: {name}", sizes[name], MAX_FILE_BYTES)
        _check_size(path, sum(sizes.values()), MAX_TOTAL_BYTES)

    @contextlib.contextmanager
    def open(self, name):
        """A context with a binary stream of a file; damage found in it is a DataError that names the file."""
        with _damage(f"{self.path}: {name}"), self._open(name) as stream:
            yield stream

    def read(self, name):
        """Return the bytes of an image file, which must not exceed MAX_IMAGE_BYTES."""
        _check_size(f"{self.path}: {name}", self._sizes[name], MAX_IMAGE_BYTES)
        with self.open(name) as stream:
            return stream.read(MAX_IMAGE_BYTES + 1)


@contextlib.contextmanager
def open_files(path):
    """Open a folder, an archive (zip, tar, compressed tar) or a single file, compressed or not.

    Yields:
        `Files`.

    Raises:
        DataError: it is of another kind, truncated, encrypted, has names that lead out of it, or exceeds a limit.
    """
    path = data_path(path)
    if path.is_dir():
        files, folders = list_folder(path)
        sizes = {name: status.st_size for name, status in files.items()}
        yield Files(path, sizes, folders, lambda name: open_regular(path / name, MAX_FILE_BYTES))
        return
    with contextlib.ExitStack() as stack:
        file, name = stack.enter_context(open_regular(path)), path.name
        for magic, inflate in _COMPRESSED.items():
            if _head(file).startswith(magic):
                file = stack.enter_context(_inflated(file, inflate, path))
                name = path.stem
        head = _head(file)
        check_kind(head, path)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield _zip_files(path, stack.enter_context(_open_zip(path, file)))
        elif head[257:262] == b"ustar":
            yield _tar_files(path, file)
        else:
            if path.suffix.lower() in (".zip", ".tar"):
                raise DataError("The file is not a zip or tar archive", path, found=f"it begins with {head[:8]}")
            yield Files(path, {name: file.seek(0, 2)}, set(), lambda _: _rewound(file))


def list_folder(path):
    """List what is in a folder and below, links to folders followed.

    Returns:
        A dict of file name, relative and with `/`, -> `os.stat_result`; and the set of the folders' names.
    """
    files, folders, waiting = {}, set(), [""]
    try:
        while waiting:
            prefix = waiting.pop()
            with os.scandir(os.path.join(path, prefix)) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.add(prefix + entry.name)
                        waiting.append(f"{prefix}{entry.name}/")
                    else:
                        files[prefix + entry.name] = _status(entry)
            # Here and not at the end: a link to a folder above, or `/`, would go on for very long.
            _check_number(path, len(files) + len(folders))
    except OSError as error:
        raise DataError("Data cannot be read", where=error.filename, found=error.strerror) from error
    return files, folders


def listed(names, most=10):
    """Names for a sentence: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(map(shown, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def _status(entry):
    try:
        return entry.stat()
    except FileNotFoundError:
        # A link that leads nowhere is listed like a damaged file: only who opens it needs to care.
        return entry.stat(follow_symlinks=False)


def _head(file):
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    return head


@contextlib.contextmanager
def _rewound(file):
    file.seek(0)
    yield file


@contextlib.contextmanager
def _damage(where):
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError("A file is damaged", where, found=error, advice="Download it again") from error


def _inflated(file, inflate, path):
    """A temporary file with the uncompressed bytes; a bomb is noticed by its ratio."""
    most = min(MAX_TOTAL_BYTES, max(64 << 20, MAX_INFLATION * os.fstat(file.fileno()).st_size))
    whole = tempfile.TemporaryFile()
    with _damage(path), inflate(file) as stream:
        while piece := stream.read(1 << 20):
            _check_size(path, whole.tell() + len(piece), most)
            whole.write(piece)
    return whole


def _open_zip(path, file):
    try:
        return zipfile.ZipFile(file)
    except DAMAGE as error:
        raise DataError(
            "The zip is truncated or damaged",
            where=path,
            expected="a whole zip archive, which ends with its table of contents",
            found=f"{path.stat().st_size:,} bytes without a readable one ({error})",
            advice="Download it again",
        ) from error


def _zip_files(path, archive):
    entries, folders = {}, set()
    _check_number(path, len(archive.infolist()))
    for entry in archive.infolist():
        name = _inner_name(path, entry.filename)
        if entry.flag_bits & 1:
            raise DataError("The zip is encrypted", f"{path}: {name}", advice="Extract it and give the folder")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError("The archive has a link in it", f"{path}: {name}", "files and folders only")
        # Of other methods zipfile inflates without a limit.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = zipfile.compressor_names.get(entry.compress_type, entry.compress_type)
            raise DataError("The zip is compressed by a method that is not read here", f"{path}: {name}",
                            "deflate", method, "Extract it and give the folder")  # fmt: skip
        _add(path, entries, folders, name, entry, entry.filename.endswith(("/", "\\")))
    sizes = {name: entry.file_size for name, entry in entries.items()}
    return Files(path, sizes, folders, lambda name: archive.open(entries[name]))


def _tar_files(path, file):
    entries, folders, lock = {}, set(), threading.Lock()
    with _damage(path):
        archive = tarfile.open(fileobj=file, mode="r:")
        for number, member in enumerate(archive):
            _check_number(path, number)
            name = _inner_name(path, member.name)
            if not (member.isreg() or member.isdir()):
                raise DataError(
                    "The archive has a link or a device in it", f"{path}: {name}", "files and folders only"
                )
            _add(path, entries, folders, name, member, member.isdir())

    @contextlib.contextmanager
    def open_member(name):
        with lock:  # all members share the position in the file
            yield archive.extractfile(entries[name])

    return Files(path, {name: member.size for name, member in entries.items()}, folders, open_member)


def _inner_name(path, name):
    """The name of an entry with `/` between folders, as archives made on Windows have `\\`; no path traversal."""
    name = name.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        raise DataError(
            "The archive has an entry that leads out of it (path traversal)",
            where=path,
            expected="relative names such as train/angry/Training_3908.jpg",
            found=name,
            advice="Such an archive was made by mistake or to do harm; get it from another place",
        )
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _add(path, entries, folders, name, entry, is_folder):
    if name in entries:
        raise DataError("The archive has two entries of one name", where=path, found=name)
    parents = {parent.as_posix() for parent in PurePosixPath(name).parents}
    folders |= (parents | {name} if is_folder else parents) - {"", "."}
    if not is_folder:
        entries[name] = entry


def _check_number(path, number):
    if number > MAX_FILES:
        raise DataError("There are too many files", path, f"at most {MAX_FILES:,}", f"{number:,} or more")


def _check_size(where, size, most):
    if size > most:
        raise DataError("The size exceeds the limit", where, f"at most {most:,} bytes", f"{size:,} or more")


def _check_name(path, name):
    if len(name) > MAX_NAME:
        raise DataError("A file name exceeds the limit", path, f"at most {MAX_NAME} characters", shown(name))
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
        raise DataError(
            "Invalid file name", path, "text in UTF-8 without control characters", name, "Rename the file"
        )


def _is_clutter(name):
    *folders, last = name.split("/")
    return not CLUTTER_FOLDERS.isdisjoint(folders) or last.lower() in CLUTTER_FILES or last.startswith("._")
