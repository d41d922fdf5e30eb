"""The answer of a study: a verdict in a few words, one paragraph, and a table, from the study's files alone."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fer_lib import paper
from fer_lib.analysis import attention, paper_numbers, sentences, tables
from fer_lib.analysis.inference import ALPHA
from fer_lib.display import count, network, p_value, percent, readable
from fer_lib.errors import DataError, ParameterError
from fer_lib.parameters import Parameters, read_parameters
from fer_lib.training.runs import study_runs
from fer_lib.variants import Variant

WORD_LIMIT = 90  # of verdict and text together
INTRODUCTION = """\
One paper (Xue, *Facial Expression Recognition via Non-Local ResNet50*) reports that non-local blocks raise
the accuracy of a ResNetV2-50 on facial expressions by about one percentage point, most in its higher stages. A
non-local block is a self-attention layer for feature maps: each position compares its query θ with the keys φ
of all positions and adds the weighted sum of their values g to itself. We train one network without blocks (the
baseline), with blocks, and with blocks that cannot mix positions (the control), with several seeds each."""


@dataclass(frozen=True)
class Answer:
    """What a study says about its question."""

    verdict: str
    text: str  # one paragraph
    parameters: Parameters
    runs: list  # the finished ones
    # A row per network, all str: accuracy and difference to the baseline, each with its 95 % CI, and adjusted p.
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    caption: str = ""  # of the table
    table_one: pd.DataFrame = field(default_factory=pd.DataFrame)  # see `paper_table`
    table_one_note: str = ""


def answer(study_dir: str | Path) -> Answer:
    """Return the `Answer` of a study, `outputs/<study>`, finished or not, from its files alone.

    ParameterError where `params.yaml` cannot be read, RunError where another file is damaged.
    """
    parameters = read_parameters(Path(study_dir) / "params.yaml")
    runs = study_runs(study_dir, parameters)
    if not runs:
        return Answer("No answer yet.", "No run of this study has finished.", parameters, runs)
    split = "test" if all("test" in run.splits for run in runs) else "validation"
    accuracies, comparison = tables.accuracy_by_variant(runs, split), pd.DataFrame(columns=tables.COMPARISON)
    try:
        comparison = tables.comparison(runs, parameters.baseline, split)
        contrasts = tables.contrasts(runs, parameters.baseline, split, parameters.margin, parameters.planned)
        removed = attention.removed_after_training(runs, parameters.baseline)
        learned, costs = tables.check_learned(runs, split), tables.read_costs(study_dir, parameters.baseline)
        verdict, text = conclude(comparison, contrasts, removed, learned, parameters, costs)
    except (DataError, ParameterError) as error:  # such as a baseline that has not finished
        verdict, text = "No answer yet.", str(error)
    images = int(accuracies["n"].iloc[0])
    table = _beside(accuracies[["variant", "accuracy", "ci_low", "ci_high"]], comparison, accuracies["variant"])
    caption = (
        f"Accuracy over {len(runs[0].class_names)} classes on {count(images)} {split} images, and the difference "
        "to the baseline in percentage points (pp). The p-value is adjusted (Holm) for the number of comparisons: "
        "an interval that excludes zero may still not be significant."
    )
    one = paper_table(runs, comparison, parameters, split)
    note = (
        f"Here: {_seeds(len({run.seed for run in runs}))}, {count(images)} images, trained as described. "
        "p (not adjusted) compares trained networks: with one seed it says nothing about another training."
    )
    return Answer(verdict, text, parameters, runs, table, caption, one, note)


def conclude(
    comparison: pd.DataFrame, contrasts: pd.DataFrame, removed: pd.DataFrame, learned: pd.DataFrame,
    parameters: Parameters, costs: pd.DataFrame | None = None,
) -> tuple[str, str]:  # fmt: skip
    """Return verdict and text; beyond `WORD_LIMIT` words the least important sentences are left out.

    The tables are those of `tables.comparison`, `contrasts`, `attention.removed_after_training`,
    `tables.check_learned` and `read_costs` (None: unknown).
    """
    failed = learned[~learned["learned"]]
    if parameters.baseline in set(failed["variant"]):
        share = percent(learned["majority_share"].iloc[0])
        text = f"Always predicting the commonest class has accuracy {share}. Nothing follows about the blocks."
        return "No answer: the baseline did not learn.", text
    blocks = comparison[comparison["family"] == tables.BLOCKS]
    if blocks.empty:
        return "No answer yet.", "No network with non-local blocks has been compared with the baseline."
    significant, row = blocks[blocks["p_holm"] < ALPHA], blocks.iloc[0]
    better, worse = significant[significant["difference"] > 0], significant[significant["difference"] < 0]
    parts = [f"yes, in {_places(better)}"] if len(better) else []
    parts += [f"no, blocks lower the accuracy in {_places(worse)}"] if len(worse) else []
    verdict = "; ".join(parts or ["not demonstrably"]) if row["seeds"] > 1 else "one seed cannot tell"
    verdict = f"{verdict[0].upper()}{verdict[1:]}."
    unlearned = f"Not compared, as they did not learn: {_places(failed.drop_duplicates('variant'))}."
    basis = f"Basis: {_seeds(row['seeds'])}, {count(row['n'])} images, {parameters.image_size} px, "
    basis += f"{parameters.epochs} epochs, baseline {percent(row['baseline_accuracy'])}."
    if parameters.dataset == "synthetic":
        basis += " The faces are generated: these numbers say nothing about people."
    untrained, cost = _not_trained(parameters), _cost(blocks, costs)
    said = [sentences.mean_effect(comparison, contrasts), _control(comparison, contrasts)]
    if parameters.planned and row["seeds"] > 1:
        verdict, primary = sentences.planned(contrasts)
        said = [primary, said[0]]
    said += [sentences.removed_blocks(removed), unlearned if len(failed) else None, untrained, cost, basis]
    for least in (None, cost, untrained, unlearned):
        said = [sentence for sentence in said if sentence and sentence != least]
        if len(" ".join([verdict, *said]).split()) <= WORD_LIMIT:
            break
    return verdict, " ".join(said)


def paper_table(runs: list, comparison: pd.DataFrame, parameters: Parameters, split: str) -> pd.DataFrame:
    """Return the paper's Table I beside this study, all str; empty unless the study trains what it describes.

    One row per network of the table: the paper's number, BinaryAccuracy over the one-hot outputs as trained here,
    accuracy with its 95 % CI, and the difference to the baseline with its unadjusted p.
    """
    if not paper.is_setup(parameters):
        return pd.DataFrame()
    found = paper_numbers.readings(runs, parameters, split).dropna(subset="accuracy")
    left = found[["network", "binary_accuracy", "accuracy", "ci_low", "ci_high"]]
    names = [Variant(50, stages).name for stages in found["stages"]]
    table = _beside(left, comparison, names, "p_value")
    table.insert(1, "paper (%)", [f"{100 * value:.2f}" for value in found["reported"]])
    return table


def _beside(left, comparison, variants, p="p_holm"):
    """A table and the differences of these variants to the baseline beside it, all str."""
    rows = comparison.set_index("variant").reindex(variants).reset_index(drop=True)
    right = readable(rows[["difference", "ci_low", "ci_high", p]].astype(float))
    return pd.concat([readable(left), right], axis="columns")


def _control(comparison, contrasts):
    """What mixing positions brings over the same layers without it; None without a control."""
    controls = comparison[comparison["family"] == tables.CONTROL]
    if controls.empty:
        return None
    over = contrasts[contrasts["contrast"] == tables.OVER_CONTROL]
    if len(over):
        return f"Blocks minus control: {sentences.with_ci(over.iloc[0], words='')}."
    row = controls.loc[controls["p_holm"].idxmin()]
    return f"Control minus baseline: {sentences.with_ci(row, words='')}, p {p_value(row['p_holm'])}."


def _not_trained(parameters):
    """Which stages, and which networks of the paper, the study leaves out; None where it has all."""
    own = {Variant.from_name(name).stages for name in parameters.variants}
    single = [str(stage) for stage in range(1, 5) if (stage,) not in own]
    pairs = [text for stages, text in (((3, 4), "3-4"), ((1, 2), "1-2")) if stages not in own]
    listed = " and ".join([", ".join(single[:-1]), single[-1]] if len(single) > 1 else single)
    parts = [f"stage{'s' * (len(single) > 1)} {listed}"] if single else []
    if pairs and parameters.dataset != "synthetic":
        parts.append(f"the paper’s {' and '.join(pairs)}")
    return f"Not trained: {'; '.join(parts)}." if parts else None


def _cost(blocks, costs):
    """What the blocks add; None where not all of these networks were counted."""
    if costs is None or not blocks["variant"].isin(costs.index).all():
        return None
    added, parts = costs.loc[blocks["variant"]] - 1, []
    for column, name in (("parameters", "parameters"), ("macs", "MACs")):
        low, high = percent(added[column].min(), 0), percent(added[column].max(), 0)
        parts.append(f"{low.removesuffix(' %') + ' to ' if low != high else ''}{high} {name}")
    return f"Blocks add {', '.join(parts)}."


def _seeds(number):
    return f"{number} seed{'s' if number > 1 else ''}"


def _places(rows, most=2):
    names = list(map(network, rows["variant"]))
    return "; ".join(names[:most]) + (f" and {len(names) - most} others" if len(names) > most else "")
