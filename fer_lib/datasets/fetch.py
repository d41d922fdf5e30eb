"""Downloads of data sets whose publishers allow it, for machines with network."""

import shutil

from fer_lib.datasets.archive import data_path
from fer_lib.errors import ParameterError, RunError

# The version is pinned, so that a study of next year reads what a study of this year read.
FER2013_HANDLE = "msambare/fer2013/versions/1"
_BY_HAND = "download it in a browser from kaggle.com/datasets/msambare/fer2013 and give its path with --data"


def fetch_fer2013(target):
    """Download the folder form of FER-2013 (about 60 MB) from Kaggle into `target`, which is returned as a `Path`.

    RunError where kagglehub, an extra, is not installed, or the download failed.
    """
    target = data_path(target, must_exist=False)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ParameterError("The target of the download is not empty", target, "an empty folder, or nothing yet")
    try:
        import kagglehub
    except ImportError as error:
        advice = f"pip install 'fer-study[fetch]', or {_BY_HAND}"
        raise RunError("Downloading needs kagglehub, which is not installed", advice=advice) from error
    try:
        shutil.copytree(kagglehub.dataset_download(FER2013_HANDLE), target, dirs_exist_ok=True)
    # kagglehub lets the errors of several libraries through: no network, no such version, a quota, a full disk.
    except Exception as error:
        where, found = f"kaggle.com/datasets/{FER2013_HANDLE}", f"{type(error).__name__}: {error}"
        advice = f"Check the network and the free space, or {_BY_HAND}"
        raise RunError("The download failed", where, None, found, advice) from error
    return target
