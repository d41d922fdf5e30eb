"""The answer of a study in one paragraph: do non-local blocks help, where, at what cost, and how sure are we?"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fer_lib.analysis import tables
from fer_lib.display import count, interval, network, percent, points, readable
from fer_lib.errors import DataError, ParameterError
from fer_lib.parameters import Parameters, read_parameters
from fer_lib.training.runs import study_runs

ALPHA = 0.05
WORD_LIMIT = 90
# Xue et al., sections III and IV, who do not state their optimiser, and the form of each value in a sentence.
_PAPER = {"image_size": (96, "{} px"), "pooling": ("max", "{} pooling"), "epochs": (50, "{} epochs")}


@dataclass(frozen=True)
class Answer:
    """What a study says about its question."""

    text: str  # one paragraph of at most `WORD_LIMIT` words
    parameters: Parameters
    runs: list  # the finished ones
    split: str = "validation"  # the scored one: "test" where every run has opened it
    images: int = 0  # of that split
    # A row a network, all str: accuracy and difference to the baseline, each with its 95 % CI, and adjusted p.
    table: pd.DataFrame = field(default_factory=pd.DataFrame)


def answer(study_dir):
    """Return the `Answer` of a study, `outputs/<study>`, finished or not, from its files alone.

    ParameterError where `params.yaml` cannot be read, RunError where another file is damaged.
    """
    parameters = read_parameters(Path(study_dir) / "params.yaml")
    runs = study_runs(study_dir, parameters)
    if not runs:
        return Answer("No run of this study has finished yet.", parameters, runs)
    split = "test" if all("test" in run.splits for run in runs) else "validation"
    accuracies, comparison = tables.accuracy_by_variant(runs, split), pd.DataFrame(columns=tables.COMPARISON)
    try:
        comparison = tables.comparison(runs, parameters.baseline, split)
        costs = tables.read_costs(study_dir, parameters.baseline)
        text = paragraph(comparison, tables.check_learned(runs, split), parameters, split, costs)
    except (DataError, ParameterError) as error:  # such as a baseline that has not finished
        text = f"No answer yet. {error}"
    differences = comparison.set_index("variant").reindex(accuracies["variant"]).reset_index(drop=True)
    left = readable(accuracies[["variant", "accuracy", "ci_low", "ci_high"]])
    right = readable(differences[["difference", "ci_low", "ci_high", "p_holm"]].astype(float))
    table = pd.concat([left, right], axis="columns")
    return Answer(text, parameters, runs, split, int(accuracies["n"].iloc[0]), table)


def paragraph(comparison, learned, parameters, split, costs=None):
    """Return the paragraph; where it exceeds `WORD_LIMIT`, the least important sentences are left out.

    `comparison`, `learned`, `costs` (or None): of `tables.comparison`, `check_learned` and `read_costs`.
    """
    failed = learned[~learned["learned"]]
    if parameters.baseline in set(failed["variant"]):
        share = percent(learned["majority_share"].iloc[0])
        verdict = f"The baseline did not learn: always predicting the commonest class has accuracy {share}."
        return f"{verdict} Nothing follows about non-local blocks. {_setting(parameters)}"
    blocks = comparison[comparison["family"] == tables.BLOCKS]
    if blocks.empty:
        return "No network with non-local blocks has been compared with the baseline yet."
    failed_names = _places(failed.drop_duplicates("variant"))
    left_out = f"Not compared, as they did not learn: {failed_names}." if len(failed) else None
    cost, control, row = _cost(blocks, costs), _control(comparison), blocks.loc[blocks["difference"].idxmax()]
    largest = f"The largest difference is {points(row['difference'])} ({network(row['variant'])})."
    seeds, accuracy = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}", percent(row["baseline_accuracy"])
    basis = f"Basis: {seeds}, {count(row['n'])} {split} images, baseline accuracy {accuracy}."
    sentences = [_verdict(blocks), largest, cost, control, left_out, basis, _setting(parameters)]
    for least in (None, largest, left_out, cost):
        sentences = [sentence for sentence in sentences if sentence and sentence != least]
        if len(" ".join(sentences).split()) <= WORD_LIMIT:
            break
    return " ".join(sentences)


def _verdict(blocks):
    """One sentence with the interval; a network differs where its Holm-adjusted p is below `ALPHA`."""
    found = blocks[blocks["p_holm"] < ALPHA]
    better, worse = found[found["difference"] > 0], found[found["difference"] < 0]
    anything = "compatible with anything from {} percentage points".format
    if blocks["seeds"].min() == 1:
        differ = f"{len(found)} of {len(blocks)} networks with blocks differ"
        return (
            "One seed cannot answer whether non-local blocks help. Over the images alone, the effect is "
            f"{anything(_span(blocks))} (95 % CIs); {differ if len(found) else 'no network with blocks differs'} "
            "significantly from the baseline."
        )
    if len(better) and len(worse):
        return (
            f"It depends on the network: {_places(better)} raises the accuracy significantly, "
            f"{anything(_span(better))} (95 % CI), and {_places(worse)} lowers it ({_span(worse)})."
        )
    if len(found):
        return (
            f"Non-local blocks {'raise' if len(better) else 'lower'} the accuracy significantly in {len(found)} "
            f"of {len(blocks)} networks ({_places(found)}): the effect is {anything(_span(found))} (95 % CI)."
        )
    none = f"none of the {len(blocks)} networks" if len(blocks) > 1 else "no network"
    return (
        f"The effect of non-local blocks is {anything(_span(blocks))} of accuracy (95 % CIs): {none} with blocks "
        "differs significantly from the baseline."
    )


def _cost(blocks, costs):
    """What the blocks add; None where not all of these networks were counted."""
    if costs is None or not blocks["variant"].isin(costs.index).all():
        return None
    added, parts = costs.loc[blocks["variant"]] - 1, []
    for column, name in (("parameters", "parameters"), ("macs", "MACs")):
        low, high = percent(added[column].min(), 0), percent(added[column].max(), 0)
        parts.append(f"{low if low == high else f'{low} to {high}'} {name}")
    return f"The blocks add {' and '.join(parts)}."


def _control(comparison):
    """What the added parameters bring without mixing between positions; None without a control."""
    controls = comparison[comparison["family"] == tables.CONTROL]
    if controls.empty:
        return None
    row = controls.loc[controls["p_holm"].idxmin()]
    effect = f"{points(row['difference'])} ({interval(row['ci_low'], row['ci_high'])})"
    if row["p_holm"] >= ALPHA:
        return f"The control (identity attention) does not differ significantly: {effect}."
    only = "The" if (comparison["p_holm"][comparison["family"] == tables.BLOCKS] < ALPHA).any() else "Only the"
    return f"{only} control (identity attention) differs significantly: {effect}; parameters alone may explain it."


def _setting(parameters):
    """How the setting differs from the paper's."""
    if parameters.dataset == "synthetic":
        return "The faces are generated: these numbers say nothing about people."
    other = [key for key, (value, _) in _PAPER.items() if getattr(parameters, key) != value]
    if not other:
        return "Image size, pooling and epochs are the paper's."
    paper = ", ".join(_PAPER[key][1].format(_PAPER[key][0]) for key in other)
    own = ", ".join(_PAPER[key][1].format(getattr(parameters, key)) for key in other)
    return f"The paper used {paper}; this study {own}, {'SGD' if parameters.optimizer == 'sgd' else 'Adam'}."


def _span(rows):
    return interval(rows["ci_low"].min(), rows["ci_high"].max())


def _places(rows, most=3):
    names = list(map(network, rows["variant"]))
    return "; ".join(names[:most]) + (f" and {len(names) - most} others" if len(names) > most else "")
