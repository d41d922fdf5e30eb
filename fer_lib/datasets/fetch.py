"""Downloads of data sets whose publishers allow it, for machines with network."""

import shutil
from pathlib import Path

from fer_lib.errors import ParameterError, RunError

# The version is pinned, so that a study of next year reads what a study of this year read.
FER2013_HANDLE = "msambare/fer2013/versions/1"


def fetch_fer2013(target):
    """Downloads the folder form of FER-2013 (about 60 MB) from Kaggle through kagglehub, an extra.

    Args:
        target: the folder to make, for `load_fer2013`; it must not hold anything yet.

    Returns:
        The `Path` of the folder, with `train/` and `test/` in it.

    Raises:
        ParameterError: `target` is a file or holds something.
        RunError: kagglehub is not installed, or the download failed.
    """
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ParameterError(
            "The target of the download is taken",
            where=target,
            expected="a folder that is empty or not there yet",
        )
    downloaded = _download(FER2013_HANDLE)
    try:
        shutil.copytree(downloaded, target, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise RunError(
            "The downloaded files could not be copied",
            where=target,
            found=error,
            advice=f"They lie in {downloaded}",
        ) from error
    return target


def _download(handle):
    try:
        import kagglehub
    except ImportError as error:
        raise RunError(
            "Downloading needs kagglehub, which is not installed",
            advice="pip install 'fer-study[fetch]', or download the archive in a browser from "
            "kaggle.com/datasets/msambare/fer2013 and give its path with --data",
        ) from error
    try:
        return Path(kagglehub.dataset_download(handle))
    # kagglehub lets the errors of several libraries through: no network, no such version, a quota, a full disk.
    except Exception as error:
        raise RunError(
            "The download failed",
            where=f"kaggle.com/datasets/{handle}",
            found=f"{type(error).__name__}: {error}",
            advice="Check the network, or download the archive in a browser and give its path with --data",
        ) from error
