"""The files of a data set, in a folder, in an archive or alone: read in place, and decoded if they are images."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from fer_lib.errors import DataError, shown

# FER-2013 has 35,887 images of about 2 kB, or one CSV of 300 MB; KDEF has 4,900 images of about 200 kB.
MAX_FILES = 200_000
MAX_NAME = 400
MAX_IMAGE_BYTES = 16 << 20
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 1 << 30
MAX_TOTAL_BYTES = 4 << 30
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
ASPECTS = {"crop": ImageOps.fit, "pad": ImageOps.contain, "squash": Image.Image.resize}

_CLUTTER = re.compile(
    r"(.*/)?((__MACOSX|\.ipynb_checkpoints|\.git)/.*|\._[^/]*|\.ds_store|thumbs\.db|desktop\.ini|icon\r)",
    re.IGNORECASE | re.DOTALL,
)
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
# First bytes of what is saved under the name of data, what it is, and what to do.
_FOREIGN = (
    (rb"Rar!|7z\xbc\xaf\x27\x1c", "a RAR or 7z archive", "Extract it and give the folder"),
    (rb"PAR1|\x89HDF", "a Parquet or HDF5 table", "Give fer2013.csv, or the images in a folder for each class"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the data", "Run `git lfs pull` in its repository"),
    (rb"(\xef\xbb\xbf)?\s*<", "a web page", "Its download may need a login: download the data in a browser"),
    (rb"\x89PNG|\xff\xd8\xff", "a single image", "Give the folder that holds the images of all classes"),
)


def data_path(path, where_to_get_it=None, must_exist=True):
    """Return a path as a Path, `~` expanded; a DataError says why it cannot be used, or that nothing is there."""
    if not str(path).strip():
        raise DataError("The path of the data is empty", expected="a file or a folder", advice=where_to_get_it)
    try:
        found = Path(path).expanduser()
        found.resolve(strict=must_exist)
        return found
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError("The data do not exist", path, found=reason, advice=where_to_get_it) from error


def open_regular(path, most=MAX_TOTAL_BYTES):
    """Open a regular file of at most `most` bytes for reading; DataError for a pipe, a device, or a larger one."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("This is not a regular file", path, "a file", "a folder, a pipe or a device")
        _limit(path, status.st_size, most, "bytes")
        return open(path, "rb")
    except OSError as error:
        raise DataError("A file cannot be read", where=path, found=error.strerror) from error


def check_kind(head, where):
    """DataError if first bytes are those of something that is often saved under the name of data by mistake."""
    for pattern, kind, advice in _FOREIGN:
        if re.match(pattern, head):
            raise DataError("The file is not in a form that can be read", where, found=kind, advice=advice)


def listed(names, most=10):
    """Names for a sentence: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(map(shown, names[:most])) + (f" and {more:,} more" if more > 0 else "")


class Files:
    """Files that are read in place: `sizes` is a dict of name -> bytes, `open_stream(name)` opens one of them."""

    def __init__(self, path, sizes, open_stream):
        self.path, self._sizes, self._open = path, sizes, open_stream
        self.clutter = sorted(filter(_CLUTTER.fullmatch, sizes))  # of operating systems and editors
        self.names = sorted(sizes.keys() - set(self.clutter))
        _limit(path, len(sizes), MAX_FILES, "files")
        _limit(path, sum(sizes.values()), MAX_TOTAL_BYTES, "bytes")
        for name in self.names:
            _limit(self.where(name), sizes[name], MAX_FILE_BYTES, "bytes")
            _limit(self.where(name), len(name), MAX_NAME, "characters in a name")
            if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
                raise DataError("Invalid file name", path, "UTF-8 without control characters", name, "Rename it")

    def named(self, *file_names):
        """List the files whose names, without folders and in lower case, are among these."""
        return [name for name in self.names if name.rpartition("/")[2].lower() in file_names]

    def where(self, name):
        """Return the place of a file for messages."""
        return str(self.path) if self.path.name.startswith(name) else f"{self.path}: {name}"

    @contextlib.contextmanager
    def open(self, name):
        """Open a file: a context with a binary stream; damage found in it is a DataError that names the file."""
        with _damage(self.where(name)), self._open(name) as stream:
            yield stream

    def read(self, name):
        """Return the bytes of an image file, which must not exceed MAX_IMAGE_BYTES."""
        _limit(self.where(name), self._sizes[name], MAX_IMAGE_BYTES, "bytes")
        with self.open(name) as stream:
            return stream.read(MAX_IMAGE_BYTES + 1)


@contextlib.contextmanager
def open_files(path):
    """Open a folder, an archive (zip, tar, compressed tar) or a single file, compressed or not: yields `Files`.

    DataError where it is of another kind, truncated, encrypted, has names that lead out of it, or exceeds a limit.
    """
    path = data_path(path)
    if path.is_dir():
        sizes = {name: status.st_size for name, status in list_folder(path).items()}
        yield Files(path, sizes, lambda name: open_regular(path / name, MAX_FILE_BYTES))
        return
    with contextlib.ExitStack() as stack:
        file, name = stack.enter_context(open_regular(path)), path.name
        for magic, inflate in _COMPRESSED.items():
            if file.peek(512).startswith(magic):
                file, name = stack.enter_context(_inflated(file, inflate, path)), path.stem
        head = file.peek(512)
        check_kind(head, path)
        with _damage(path):
            if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                files = _zip_files(path, stack.enter_context(zipfile.ZipFile(file)))
            elif head[257:262] == b"ustar":
                files = _tar_files(path, stack.enter_context(tarfile.open(fileobj=file, mode="r:")))
            elif path.suffix.lower() in (".zip", ".tar"):
                raise DataError("The file is not a zip or tar archive", path, found=f"it begins with {head[:8]}")
            else:
                sizes = {name: os.fstat(file.fileno()).st_size}
                files = Files(path, sizes, lambda _: contextlib.nullcontext(file))
        yield files


def decode(files, names, size, colour, aspect, formats=FORMATS, require=None):
    """Decode the files `names` of an open folder or archive into squares of `size` pixels.

    Args:
        colour: 3 channels (RGB); otherwise 1, luminance.
        aspect: `"crop"`: the largest square in the middle. Of KDEF's 562 x 762 pixels it keeps the whole width and
            rows 100 to 662: the publisher centred eyes and mouths on one grid, only hair and chest are cut off.
            `"pad"`: the whole image, its outermost pixels repeated beside it. `"squash"`: the whole, stretched.
        formats: those that are accepted, by Pillow's names.
        require: called with Pillow's image and its place before it is decoded; may raise DataError.

    Returns:
        uint8 `(n, size, size, channels)` in the order of `names`; and for each its (width, height, Pillow's mode),
        or the DataError of a file that cannot be decoded, whose pixels are zero.
    """
    images = np.zeros((len(names), size, size, 3 if colour else 1), np.uint8)

    def fill(position):
        name = names[position]
        try:
            content = files.read(name)
            given = content, files.where(name), images.shape[1:], aspect, formats, require
            images[position], header = _decoded(*given)
            return header
        except DataError as error:
            return error

    # Threads, for Pillow decodes and resizes without Python's lock. No bar where stderr is a log file.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(fill, range(len(names)))
        return images, list(tqdm(results, "Decoding images", len(names), unit=" images", disable=None))


def _decoded(content, where, shape, aspect, formats, require):
    """The pixels of one image in the shape (size, size, channels), and its header."""
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                found = f"{image.width} x {image.height}"
                raise DataError("An image exceeds the limit", where, f"at most {MAX_PIXELS:,} pixels", found)
            if require is not None:
                require(image, where)
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"Pillow's mode {image.mode} instead of 8 bits a channel")
            upright = ImageOps.exif_transpose(image).convert("RGB" if shape[2] == 3 else "L")
            pixels = np.atleast_3d(ASPECTS[aspect](upright, shape[:2], Image.Resampling.LANCZOS))
            gaps = [whole - part for whole, part in zip(shape, pixels.shape, strict=True)]
            return np.pad(pixels, [(gap // 2, gap - gap // 2) for gap in gaps], "edge"), (*image.size, image.mode)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders let errors of many kinds through
        if not content.startswith((b"\x89PNG", b"\xff\xd8\xff")):
            check_kind(content[:512], where)
        found = "a file that cannot be identified" if "cannot identify" in str(error) else error
        raise DataError("A file is no image, or damaged", where, f"a {' or '.join(formats)}", found) from error


def list_folder(path):
    """List the files in a folder and below, links followed: a dict of name, with `/` -> `os.stat_result`."""
    files, folders = {}, [""]
    try:
        for prefix in folders:  # which grows
            with os.scandir(os.path.join(path, prefix)) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(f"{prefix}{entry.name}/")
                    else:
                        # A link that leads nowhere is listed like a damaged file: only who opens it needs to care.
                        broken = entry.is_symlink() and not os.path.exists(entry.path)
                        files[prefix + entry.name] = entry.stat(follow_symlinks=not broken)
            # Here and not at the end: a link to a folder above, or `/`, would go on for very long.
            _limit(path, len(files) + len(folders), MAX_FILES, "files")
    except OSError as error:
        raise DataError("Data cannot be read", where=error.filename, found=error.strerror) from error
    return files


@contextlib.contextmanager
def _damage(where):
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile, tarfile and the decompressors let errors of many kinds through
        raise DataError("A file is truncated or damaged", where, None, error, "Download it again") from error


def _inflated(file, inflate, path):
    """Uncompress into a temporary file; a bomb is noticed by its ratio."""
    # A CSV of FER-2013 shrinks to a third, a bomb to a thousandth.
    most = min(MAX_TOTAL_BYTES, max(64 << 20, 50 * os.fstat(file.fileno()).st_size))
    whole = tempfile.TemporaryFile()  # noqa: SIM115, the caller's context
    with _damage(path), inflate(file) as stream:
        while piece := stream.read(1 << 20):
            _limit(path, whole.tell() + len(piece), most, "bytes")
            whole.write(piece)
    whole.seek(0)
    return whole


def _zip_files(path, archive):
    entries = {}
    for entry in archive.infolist():
        if entry.flag_bits & 1:
            raise DataError("The zip is encrypted", path, advice="Extract it and give the folder")
        # Of other methods than these zipfile inflates without a limit.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError("Unknown compression", path, "deflate", advice="Extract it and give the folder")
        if not entry.filename.endswith(("/", "\\")):
            _add(path, entries, entry.filename, entry, is_file=not stat.S_ISLNK(entry.external_attr >> 16))
    sizes = {name: entry.file_size for name, entry in entries.items()}
    return Files(path, sizes, lambda name: archive.open(entries[name]))


def _tar_files(path, archive):
    entries, lock = {}, threading.Lock()
    for number, member in enumerate(archive):
        _limit(path, number, MAX_FILES, "files")
        if not member.isdir():
            _add(path, entries, member.name, member, is_file=member.isreg())

    @contextlib.contextmanager
    def open_member(name):
        with lock:  # all members share the position in the file
            yield archive.extractfile(entries[name])

    return Files(path, {name: member.size for name, member in entries.items()}, open_member)


def _add(path, entries, name, entry, is_file):
    r"""Add an entry of an archive under its name, with `/` between folders, where Windows has `\`."""
    name = name.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        advice = "Such an archive was made by mistake or to do harm; get it from another place"
        raise DataError("The archive has a name that leads out of it (path traversal)", path, None, name, advice)
    if not is_file:
        raise DataError("The archive has a link or a device in it", path, "files and folders only", name)
    name = "/".join(part for part in name.split("/") if part not in ("", "."))
    if name in entries:
        raise DataError("The archive has two entries of one name", where=path, found=name)
    entries[name] = entry


def _limit(where, value, most, unit):
    if value > most:
        raise DataError(f"The number of {unit} exceeds the limit", where, f"at most {most:,}", f"{value:,}")
