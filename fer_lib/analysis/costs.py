"""What a study's networks cost beside the plain one, read from the table that notebook 03 keeps."""

from pathlib import Path

import pandas as pd

from fer_lib.errors import RunError

_TABLE = "3.4-variants.csv"
COSTS = ("parameters", "multiply-adds")


def read_costs(study_dir, baseline):
    """Parameters and multiply-adds of each network over those of the plain one.

    Args:
        study_dir: `outputs/<study>`.
        baseline: name of the plain network.

    Returns:
        A DataFrame with the columns `COSTS`, ratios, indexed by variant; `None` where notebook 03 has not counted
        this study's networks.

    Raises:
        RunError: the table is damaged.
    """
    path = Path(study_dir) / "tables" / _TABLE
    if not path.is_file():
        return None
    try:
        counts = pd.read_csv(path).set_index("variant")[list(COSTS)]
        return counts / counts.loc[baseline]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            "The table of costs cannot be read",
            where=path,
            expected=f"variant, {', '.join(COSTS)}, and a row {baseline}",
            found=error,
            advice="Run notebook 03 again",
        ) from error
