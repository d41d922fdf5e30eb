"""The paper's claims against what is computed or was trained here, and what its accuracies can mean.

The paper is Xue, "Facial Expression Recognition via Non-Local ResNet50". A `Finding` is one claim with its
verdict, which follows from values by a rule that the function's docstring states; what was not run on the paper's
data is not judged. Fractions throughout.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib.analysis import inference, metrics
from fer_lib.analysis.tables import align_predictions, pick
from fer_lib.datasets.checks import copies_of
from fer_lib.datasets.fer2013 import published_counts
from fer_lib.display import BINARY_FLOOR, DATASET_NAMES, interval, p_value, percent, points
from fer_lib.errors import DataError
from fer_lib.variants import STAGE_BLOCKS, Variant

VERDICTS = ("exact", "reproduced", "contradicted", "inconclusive", "not run here")
EXACT, REPRODUCED, CONTRADICTED, INCONCLUSIVE, NOT_RUN = VERDICTS
SECTIONS = ("abstract", "2", "3.1.1", "4", "Table I", "Table II", "5")

# Section 2, section 5, and Tables I and II, by the stages that have blocks.
IMAGES = {"train": 22_968, "validation": 1_432}
KDEF_IMAGES = 4_900
PARAMETERS = {"baseline": 23_527_431, "stage 3": 36_131_847, "stage 4": 48_714_759}
MACS_AT_224 = 3.8e9
ACCURACIES = {
    ("fer2013", ()): 0.8921, ("fer2013", (3, 4)): 0.9013, ("fer2013", (1, 2)): 0.8982,
    ("kdef", ()): 0.7602, ("kdef", (3, 4)): 0.7714, ("kdef", (1, 2)): 0.7668,
}  # fmt: skip
_TABLES = {"fer2013": "Table I", "kdef": "Table II"}
# What of the paper's network and recipe is known.
SETUP = {"image_size": 96, "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50}
AROUND_ONE = (0.005, 0.015)  # "around 1 %" is what rounds to 1
_GENERATED = "generated faces say nothing about real ones"
_NEAR = 0.005  # BinaryAccuracies of an epoch and of the paper that count as equal


@dataclass(frozen=True)
class Finding:
    """One claim of the paper and what became of it; all str, `verdict` one of `VERDICTS`."""

    section: str
    claim: str
    test: str
    outcome: str
    verdict: str


def findings_table(findings):
    """Return one row a `Finding`, in the order of the paper: section, claim, test, outcome, verdict."""
    return pd.DataFrame(sorted(findings, key=lambda finding: SECTIONS.index(finding.section)))


def image_counts(splits, train_limit=None):
    """Return findings on FER-2013's 22,968 and 1,432 images, and on whether the latter are held out.

    Counted in the study's images if these are FER-2013 in the paper's protocol, else worked out from the published
    number of images of each class: exact if equal, else contradicted. Held out is contradicted if one of the 1,432
    is a duplicate of a training image, and not run on other data. With a `train_limit`, the parameter of this
    name, the training images are not counted.
    """
    here, findings = (splits.dataset, splits.protocol) == ("fer2013", "paper"), []
    for split, claimed in IMAGES.items():
        counted = here and (split == "validation" or train_limit is None)
        number = len(getattr(splits, split)) if counted else sum(published_counts("paper")[split])
        claim = f"FER-2013: {claimed:,} {'training' if split == 'train' else 'test'} images"
        source = "study's own files" if counted else "published number of images of each class"
        test = f"validation_split=0.2 on the folders: per class, the first int(0.2 n) files; from the {source}"
        findings.append(Finding("2", claim, test, f"{number:,}", EXACT if number == claimed else CONTRADICTED))
    claim, test = "FER-2013: the test images are not training images", "equal pixels in the paper's two sets"
    outcome = f"{DATASET_NAMES[splits.dataset]}, protocol {splits.protocol}: not the paper's two sets"
    verdict = NOT_RUN
    if here:
        duplicates = int(copies_of(splits.train, splits.validation).sum())
        outcome = f"{duplicates:,} of {len(splits.validation):,} are duplicates of training images"
        verdict = CONTRADICTED if duplicates else EXACT
    return [*findings, Finding("2", claim, test, outcome, verdict)]


def kdef_counts(splits):
    """Return the finding on KDEF's 4,900 images: by arithmetic, and counted if the study reads all five angles.

    Exact if none is missing, reproduced if at most 1 % are (black images are left out), else contradicted.
    """
    claim = "KDEF: 4,900 images of 35 women and 35 men, in 140 folders"
    test = "2 sexes x 35 subjects x 2 sessions x 7 expressions x 5 angles"
    outcome, verdict = "4,900 images by arithmetic", EXACT
    if splits.dataset == "kdef":
        rows = pd.concat([faces.metadata for _, faces in splits.items()])
        if rows["angle"].nunique() == 5:
            test, outcome = f"{test}; images that the study could read", f"{outcome}, {len(rows):,} read"
            share = len(rows) / KDEF_IMAGES
            verdict = EXACT if share == 1 else REPRODUCED if 0.99 <= share < 1 else CONTRADICTED
    return Finding("2", claim, test, outcome, verdict)


def architecture(costs, macs_at_224):
    """Return findings on bottlenecks a stage and the three parameter counts (exact or contradicted), and on FLOPs.

    `costs` is `complexity.cost_by_stage(50, (96, 96, 1))`, `macs_at_224` of the baseline for 224 px, 3 channels
    and 1,000 classes; FLOPs are reproduced within a tenth: they are He et al.'s and Keras strides elsewhere.
    """
    blocks = tuple(costs["blocks"].drop("baseline"))
    claim = f"3, 4, 6, 3 bottlenecks in stages 1 to 4 of {Variant(50).name}"
    test = "blocks after every bottleneck of each stage, counted"
    verdict = EXACT if blocks == STAGE_BLOCKS[50] == (3, 4, 6, 3) else CONTRADICTED
    findings = [Finding("3.1.1", claim, test, ", ".join(map(str, blocks)), verdict)]
    for network, claimed in PARAMETERS.items():
        number = int(costs.loc[network, "trainable_parameters"])
        words = "no blocks" if network == "baseline" else f"a block after every bottleneck of {network} only"
        test = f"weights of ResNetV2-50 with one input channel, seven classes and {words}"
        verdict = EXACT if number == claimed else CONTRADICTED
        findings.append(Finding("5", f"{claimed:,} trainable parameters", test, f"{number:,}", verdict))
    excess = macs_at_224 / MACS_AT_224 - 1
    test = "MACs of Keras' network at 224 px with 1,000 classes, within a tenth"
    outcome = f"{macs_at_224:.2e} ({points(excess, 0)} %)"
    verdict = REPRODUCED if abs(excess) <= 0.1 else CONTRADICTED
    return [*findings, Finding("3.1.1", "3.8e9 FLOPs (Figure 4)", test, outcome, verdict)]


def complexity_sentences(costs):
    """Return findings on the two sentences on complexity; `costs` as for `architecture`.

    Reproduced if a cost that it could mean supports a sentence, else contradicted: each low stage, 1 and 2, adds
    more of it (the abstract) or less (the discussion) than each high one, 3 and 4.
    """
    abstract = "Complexity gets larger when adding blocks to lower layers than to higher ones"
    discussion = "Adding blocks to lower stages leads to less rise of complexity"
    attention = {"attention_macs": "MACs between positions", "attention_bytes": "memory of the attention maps"}
    asked = (
        ("abstract", abstract, attention | {"macs": "all MACs"}),
        ("5", discussion, {"trainable_parameters": "trainable parameters", "macs": "all MACs"}),
    )
    findings = []
    for section, claim, meanings in asked:
        names = {"true": [], "false": []}
        for cost, name in meanings.items():
            added = costs[f"added_{cost}"].drop("baseline").to_numpy()
            less, more = (added[:2], added[2:]) if section == "5" else (added[2:], added[:2])
            names["true" if less.max() < more.min() else "false"].append(name)
        outcome = "; ".join(f"{verb} of {' and '.join(costs_so)}" for verb, costs_so in names.items() if costs_so)
        test = "what blocks at each stage add to ResNetV2-50 at 96 px"
        findings.append(Finding(section, claim, test, outcome, REPRODUCED if names["true"] else CONTRADICTED))
    return findings


def reported_accuracies(accuracy, readings, parameters):
    """Return findings on the six accuracies of Tables I and II.

    Tested if the study trained the paper's network with what is known of its recipe (`SETUP`) on the table's data
    set: reproduced if the number lies in the 95 % CI of the 7-class accuracy, else contradicted. `accuracy` and
    `readings` are `tables.accuracy_by_variant` and `readings` of the study's runs, `parameters` its `Parameters`.
    """
    same_setup = all(getattr(parameters, key) == value for key, value in SETUP.items())
    own = f"the study has {parameters.baseline} at {parameters.image_size} px, {parameters.epochs} epochs"
    trained, findings = accuracy.set_index("variant"), []
    for row in readings.to_dict("records"):
        variant, dataset, reported = Variant(50, row["stages"]), row["dataset"], row["reported"]
        outcome, verdict = f"{own}, {DATASET_NAMES[parameters.dataset]}", NOT_RUN
        if same_setup and parameters.dataset == dataset and variant.name in trained.index:
            found = trained.loc[variant.name]
            outcome = f"{percent(found['accuracy'])} [{interval(found['ci_low'], found['ci_high'], percent)}]"
            verdict = REPRODUCED if found["ci_low"] <= reported <= found["ci_high"] else CONTRADICTED
        as_binary = f"{percent(row['if_confident'])} if all predictions are confident"
        if row["above_floor"] < 0:
            as_binary = f"{points(row['above_floor'])} pp from the all-negative baseline"
        claim = f"{percent(reported, 2)} accuracy, {variant.label}, {DATASET_NAMES[dataset]}"
        test, outcome = f"7-class accuracy of {variant.name}, 95 % CI", f"{outcome}; as BinaryAccuracy {as_binary}"
        findings.append(Finding(_TABLES[dataset], claim, test, outcome, verdict))
    return findings


def gains(comparison, parameters):
    """Return findings on what blocks bring: around 1 % at high layers, worse at low ones, in general, the order.

    Judged on FER-2013 or KDEF, for the network that was trained here: a gain or a loss is a difference whose
    Holm-adjusted p is below 0.05, from two seeds on; else it is inconclusive. "Around 1 %" is also contradicted if
    the simultaneous 95 % CI lies outside 0.5 to 1.5 pp; worse at low layers also by the paper's own Table I.
    """
    rows = {row["variant"]: row for row in comparison.to_dict("records")}
    high, low = (rows.get(pick(rows, stages)) for stages in ((3, 4), (1, 2)))
    better = _gain("abstract", "Blocks at higher layers improve the accuracy by around 1 %", high, parameters, 1)
    judged, (lowest, highest) = better.verdict != NOT_RUN and high["seeds"] > 1, AROUND_ONE
    if judged and (high["simultaneous_low"] > highest or high["simultaneous_high"] < lowest):
        better = replace(better, verdict=CONTRADICTED)
    worse = _gain("abstract", "Blocks at lower layers get worse performance", low, parameters, -1)
    own = points(ACCURACIES["fer2013", (1, 2)] - ACCURACIES["fer2013", ()], 2)
    verdict = REPRODUCED if worse.verdict == REPRODUCED else CONTRADICTED
    worse = replace(worse, outcome=f"the paper's own Table I: {own} pp; here: {worse.outcome}", verdict=verdict)
    stages = [rows[name] for stage in (1, 2, 3, 4) if (name := f"{parameters.baseline}-nl{stage}") in rows]
    against = _against(low, high) if low and high else None
    order = _gain("5", "Higher stages gain more than lower ones", against, parameters, 1)
    return [better, worse, _in_general(stages, parameters), order]


def _against(low, high):
    """Return the row of `high` against `low`: the pooled analysis has one standard error for every difference."""
    test = inference.t_test(high["difference"] - low["difference"], high["standard_error"], high["df"])
    found = test.columns("difference", "simultaneous")
    return high | found | {"baseline": low["variant"], "p_holm": test.p_value}


def _gain(section, claim, row, parameters, sign):
    if row is None:
        return Finding(section, claim, "paired difference of accuracy", "the study has no such network", NOT_RUN)
    random = "seeds and images as random effects" if row["seeds"] > 1 else "one run each, images alone as random"
    test = f"accuracy of {row['variant']} minus that of {row['baseline']}, {random}"
    limits = interval(row["simultaneous_low"], row["simultaneous_high"])
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    outcome = f"{points(row['difference'])} pp [{limits}], p {p_value(row['p_holm'])}, {seeds}"
    if parameters.dataset == "synthetic":
        return Finding(section, claim, test, f"{outcome}; {_GENERATED}", NOT_RUN)
    verdict = INCONCLUSIVE
    if row["p_holm"] < 0.05 and row["seeds"] > 1:
        verdict = REPRODUCED if row["difference"] * sign > 0 else CONTRADICTED
    return Finding(section, claim, test, outcome, verdict)


def _in_general(rows, parameters):
    claim = "Accuracies generally improve with blocks at each of the four stages"
    exceed = sum(row["difference"] > 0 for row in rows)
    outcome = f"{exceed} of {len(rows)} stages trained here exceed the baseline"
    significant = [row["difference"] for row in rows if row["p_holm"] < 0.05 and row["seeds"] > 1]
    verdict = REPRODUCED if len(significant) == 4 else INCONCLUSIVE
    if min(significant, default=0) < 0:
        verdict = CONTRADICTED
    if parameters.dataset == "synthetic" or len(rows) < 4:
        reason = "not all four were trained" if len(rows) < 4 else _GENERATED
        outcome, verdict = f"{outcome}; {reason}", NOT_RUN
    return Finding("4", claim, "each single stage against the baseline", outcome, verdict)


def epochs_table(runs):
    """Return epoch, binary_accuracy, accuracy (of the validation set), variant, seed: one row a run and epoch."""
    columns = {"val_binary_accuracy": "binary_accuracy", "val_accuracy": "accuracy"}
    parts = [run.history[["epoch", *columns]].assign(variant=run.variant, seed=run.seed) for run in runs]
    return pd.concat(parts, ignore_index=True).rename(columns=columns)


def readings(epochs):
    """Return the paper's six accuracies, read as BinaryAccuracy, beside the epochs of `epochs_table`.

    Columns: dataset, stages (tuple), network (label), reported, above_floor (reported minus 6/7), if_confident
    (`metrics.accuracy_if_confident`), epochs (how many are within 0.5 pp), seen, seen_low, seen_high (their
    median, lowest and highest accuracy; NaN without any).
    """
    rows = []
    for (dataset, stages), reported in ACCURACIES.items():
        near = epochs.loc[(epochs["binary_accuracy"] - reported).abs() <= _NEAR, "accuracy"]
        row = {"dataset": dataset, "stages": stages, "network": Variant(50, stages).label, "reported": reported}
        row |= {"above_floor": reported - BINARY_FLOOR, "if_confident": metrics.accuracy_if_confident(reported)}
        row |= {"epochs": len(near), "seen": near.median(), "seen_low": near.min(), "seen_high": near.max()}
        rows.append(row)
    return pd.DataFrame(rows)


def noise_table(runs, baseline, images=IMAGES["validation"], split="validation"):
    """Return what the differences of Table I are worth, from one run of each network on so many images.

    Only the images are random, by `disagreement`; another seed adds to the error. One row a difference and reading
    (`"7-class accuracy"`, `"BinaryAccuracy"`): network, reading, difference (the paper's), standard_error, z,
    p_value (two-sided, normal), mde (minimum detectable effect at 80 % power), images_needed (to detect the
    paper's difference, about). NaN if the networks differ on no image.
    """
    discordant, variance = disagreement(runs, baseline, split)
    error = np.sqrt(variance / images)
    readings = {
        "7-class accuracy": (np.sqrt(discordant / images), inference.mcnemar_detectable(images, discordant)),
        "BinaryAccuracy": (error, inference.minimum_detectable_effect(error, images - 1)),
    }
    rows = []
    for stages in ((3, 4), (1, 2)):
        difference = ACCURACIES["fer2013", stages] - ACCURACIES["fer2013", ()]
        for reading, (error, mde) in readings.items():
            z = difference / error if error else np.nan
            row = {"network": Variant(50, stages).label, "reading": reading, "difference": difference}
            row |= {"standard_error": error, "z": z, "p_value": 2 * stats.norm.sf(z), "mde": mde}
            rows.append(row | {"images_needed": images * (mde / difference) ** 2})
    return pd.DataFrame(rows)


def disagreement(runs, baseline, split="validation"):
    """Return how much two networks disagree, mean over every variant and the baseline of the same seed.

    The share of the images that exactly one of the two classifies correctly, and the variance over images of the
    difference in the share of correct binary decisions. DataError without a pair of one seed.
    """
    _, y_true, y_pred = align_predictions(runs, split)
    correct, decisions = {}, {}
    for run, classes in zip(runs, y_pred, strict=True):
        found, key = run.predictions(split), (run.variant, run.seed)
        correct[key] = classes == y_true
        decisions[key] = metrics.correct_decisions(found.probabilities, found.y_true)[np.argsort(found.ids)]
    pairs = [((baseline, s), (v, s)) for v, s in correct if v != baseline and (baseline, s) in correct]
    if not pairs:
        raise DataError("No variant shares a seed with the baseline", expected=baseline)
    discordant = float(np.mean([correct[first] != correct[second] for first, second in pairs]))
    return discordant, np.mean([np.var(decisions[second] - decisions[first], ddof=1) for first, second in pairs])


def power_of_one_run(discordances, sizes=(200, 400, 700, 1_000, 1_432, 2_000, 4_000, 7_000, 10_000, 20_000)):
    """Return the minimum detectable effect of the exact McNemar test: columns images, discordance, mde."""
    rows = [(n, share, inference.mcnemar_detectable(n, share)) for share in discordances for n in sizes]
    return pd.DataFrame(rows, columns=["images", "discordance", "mde"])
