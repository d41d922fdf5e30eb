"""The paper's claims against what is computed or was trained here, and what its accuracies can mean.

The paper is Xue, "Facial Expression Recognition via Non-Local ResNet50". A `Finding` is one claim with its verdict, which
follows from values by a rule that the function's docstring states; what was not run on the paper's data is not judged.
Fractions throughout.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib import formats
from fer_lib.analysis import inference, metrics
from fer_lib.analysis.tables import aligned
from fer_lib.datasets.fer2013 import published_counts
from fer_lib.datasets.checks import copies_of
from fer_lib.errors import DataError
from fer_lib.formats import BINARY_FLOOR, DATASET_NAMES
from fer_lib.variants import STAGE_BLOCKS, Variant

EXACT, REPRODUCED, CONTRADICTED, INCONCLUSIVE, NOT_RUN = VERDICTS = (
    "exact", "reproduced", "contradicted", "inconclusive", "not run here",
)  # fmt: skip
SECTIONS = ("abstract", "2", "3.1.1", "4", "Table I", "Table II", "5")

# Section 2, section 5, and Tables I and II, by the stages that have blocks.
IMAGES = {"train": 22_968, "validation": 1_432}
KDEF_IMAGES = 4_900
PARAMETERS = {"baseline": 23_527_431, "stage 3": 36_131_847, "stage 4": 48_714_759}
MACS_AT_224 = 3.8e9
ACCURACIES = {
    "fer2013": {(): 0.8921, (3, 4): 0.9013, (1, 2): 0.8982},
    "kdef": {(): 0.7602, (3, 4): 0.7714, (1, 2): 0.7668},
}
_TABLES = {"fer2013": "Table I", "kdef": "Table II"}
# What of the paper's network and recipe is known.
SETUP = {"image_size": 96, "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50}
AROUND_ONE = (0.005, 0.015)  # "around 1 %" is what rounds to 1
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
    return pd.DataFrame([asdict(finding) for finding in sorted(findings, key=lambda f: SECTIONS.index(f.section))])


def image_counts(splits, train_limit=None):
    """Return findings on FER-2013's 22,968 and 1,432 images, and on whether the latter are held out.

    Counted if the study's images are FER-2013 in the paper's protocol, else worked out from the published number of
    images of each class: exact where equal, else contradicted. Held out is contradicted if one of the 1,432 is a
    duplicate of a training image, and not run on other data.

    Args:
        splits: the study's `Splits`.
        train_limit: the parameter of this name; with one, the training images are not counted.
    """
    here = (splits.dataset, splits.protocol) == ("fer2013", "paper")
    findings = []
    for split, claimed in IMAGES.items():
        counted = here and (split == "validation" or train_limit is None)
        number = len(getattr(splits, split)) if counted else sum(published_counts("paper")[split])
        source = (
            "counted in the study's own files" if counted else "from the published number of images of each class"
        )
        claim = f"FER-2013: {claimed:,} {'training' if split == 'train' else 'test'} images"
        test = f"`validation_split=0.2` on the folders: per class, the first int(0.2 n) files; {source}"
        findings.append(Finding("2", claim, test, f"{number:,}", EXACT if number == claimed else CONTRADICTED))
    claim, test = "FER-2013: the test images are not training images", "equal pixels in the paper's two sets"
    if not here:
        return [*findings, Finding("2", claim, test, f"{_data(splits)}: not the paper's two sets", NOT_RUN)]
    copies = int(copies_of(splits.train, splits.validation).sum())
    outcome = f"{copies:,} of {len(splits.validation):,} are duplicates of training images"
    return [*findings, Finding("2", claim, test, outcome, CONTRADICTED if copies else EXACT)]


def kdef_counts(splits):
    """Return the finding on KDEF's 4,900 images, by arithmetic and, if the study reads all five angles, by its images.

    Exact if all were read or none were to be read here; reproduced if at most 1 % is missing (black images are left
    out); else contradicted.
    """
    claim = "KDEF: 4,900 images of 35 women and 35 men, in 140 folders"
    test = "2 sexes x 35 subjects x 2 sessions x 7 expressions x 5 angles"
    outcome, verdict = "4,900 images by arithmetic", EXACT
    if splits.dataset == "kdef":
        rows = pd.concat([faces.metadata for _, faces in splits.items()])
        if rows["angle"].nunique() == 5:
            test += "; images that the study could read"
            outcome += f", {len(rows):,} read"
            missing = KDEF_IMAGES - len(rows)
            verdict = EXACT if not missing else REPRODUCED if 0 < missing <= 0.01 * KDEF_IMAGES else CONTRADICTED
    return Finding("2", claim, test, outcome, verdict)


def architecture(costs, macs_at_224):
    """Return findings on bottlenecks a stage and the three parameter counts (exact or contradicted), and on FLOPs.

    Args:
        costs: `complexity.cost_by_stage(50, (96, 96, 1))`.
        macs_at_224: of the baseline for 224 px, 3 channels and 1,000 classes; reproduced if they differ by a tenth at
            most, as the figure is He et al.'s and Keras strides elsewhere.
    """
    blocks = tuple(costs["blocks"].drop("baseline"))
    findings = [
        Finding(
            "3.1.1",
            f"3, 4, 6, 3 bottlenecks in stages 1 to 4 of {Variant(50).backbone}",
            "blocks after every bottleneck of each stage, counted",
            ", ".join(map(str, blocks)),
            EXACT if blocks == STAGE_BLOCKS[50] == (3, 4, 6, 3) else CONTRADICTED,
        )
    ]
    for network, claimed in PARAMETERS.items():
        number = int(costs.loc[network, "trainable_parameters"])
        words = "no blocks" if network == "baseline" else f"a block after every bottleneck of {network} only"
        test = f"weights of ResNetV2-50 with one input channel, seven classes and {words}"
        verdict = EXACT if number == claimed else CONTRADICTED
        findings.append(Finding("5", f"{claimed:,} trainable parameters", test, f"{number:,}", verdict))
    ratio = macs_at_224 / MACS_AT_224 - 1
    verdict = REPRODUCED if abs(ratio) <= 0.1 else CONTRADICTED
    test = "MACs of Keras' network at 224 px with 1,000 classes, within a tenth"
    outcome = f"{macs_at_224:.2e} ({formats.points(ratio, 0)} %)"
    return [*findings, Finding("3.1.1", "3.8e9 FLOPs (Figure 4)", test, outcome, verdict)]


def complexity_sentences(costs):
    """Return findings on the two sentences on complexity, each by every cost that it could mean.

    Low stages are 1 and 2, high ones 3 and 4. A cost supports a sentence if every low stage adds more of it (the
    abstract) or less (the discussion) than every high one. Reproduced if a cost does, else contradicted.

    Args:
        costs: `complexity.cost_by_stage(50, (96, 96, 1))`.
    """
    words = {
        "attention_macs": "MACs between positions", "attention_bytes": "memory of the attention maps",
        "trainable_parameters": "trainable parameters", "macs": "all MACs",
    }  # fmt: skip
    abstract = "Complexity gets larger when adding blocks to lower layers than to higher ones"
    discussion = "Adding blocks to lower stages leads to less rise of complexity"
    findings = []
    for section, claim, meanings in (
        ("abstract", abstract, ("attention_macs", "attention_bytes", "macs")),
        ("5", discussion, ("trainable_parameters", "macs")),
    ):
        holds = {}
        for cost in meanings:
            added = costs.loc[[f"stage {stage}" for stage in (1, 2, 3, 4)], f"added_{cost}"].to_numpy()
            less, more = (added[:2], added[2:]) if section == "5" else (added[2:], added[:2])
            holds[words[cost]] = less.max() < more.min()
        parts = [
            f"{verb} for {' and '.join(costs)}"
            for verb, costs in (
                ("true", [c for c in holds if holds[c]]),
                ("false", [c for c in holds if not holds[c]]),
            )
            if costs
        ]
        verdict = REPRODUCED if any(holds.values()) else CONTRADICTED
        test = f"{', '.join(holds)} that blocks add to ResNetV2-50 at 96 px"
        findings.append(Finding(section, claim, test, "; ".join(parts), verdict))
    return findings


def reported_accuracies(accuracy, readings, parameters):
    """Return findings on the six accuracies of Tables I and II.

    Tested if the study trained the paper's network with what is known of its recipe (`SETUP`) on the table's data set:
    reproduced if the number lies in the 95 % CI of the 7-class accuracy, else contradicted.

    Args:
        accuracy: `tables.accuracy_by_variant` of the study's runs.
        readings: `readings` of the study's epochs.
        parameters: the study's `Parameters`.
    """
    same_setup = all(getattr(parameters, key) == value for key, value in SETUP.items())
    trained = accuracy.set_index("variant")
    findings = []
    for row in readings.to_dict("records"):
        variant = Variant(50, row["stages"])
        claim = f"{formats.percent(row['reported'], 2)} accuracy, {variant.label}, {DATASET_NAMES[row['dataset']]}"
        if same_setup and parameters.dataset == row["dataset"] and variant.name in trained.index:
            found = trained.loc[variant.name]
            inside = found["ci_low"] <= row["reported"] <= found["ci_high"]
            limits = formats.interval(found["ci_low"], found["ci_high"], formats.percent)
            outcome = f"{formats.percent(found['accuracy'])} [{limits}]"
            verdict = REPRODUCED if inside else CONTRADICTED
        else:
            outcome, verdict = f"the study has {_network(parameters)}", NOT_RUN
        above = row["above_floor"]
        outcome += (
            f"; as BinaryAccuracy {formats.points(above)} pp from the all-negative baseline"
            if above < 0
            else f"; as BinaryAccuracy, {formats.percent(row['if_confident'])} of the images if all are confident"
        )
        test = f"7-class accuracy of {variant.name}, 95 % CI"
        findings.append(Finding(_TABLES[row["dataset"]], claim, test, outcome, verdict))
    return findings


def gains(comparison, parameters):
    """Return findings on what blocks bring: around 1 % at high layers, worse at low ones, in general, the order.

    Judged on FER-2013 or KDEF and from two seeds on, for the network that was trained here: a difference is a gain or
    a loss if its Holm-adjusted p is below 0.05, else inconclusive. "Around 1 %" is also contradicted if the
    simultaneous 95 % CI lies wholly outside 0.5 to 1.5 pp; worse at low layers also by the paper's own Table I.

    Args:
        comparison: `tables.comparison` of the study.
        parameters: the study's `Parameters`.
    """
    rows = {row["variant"]: row for row in comparison.to_dict("records")}
    high, low = (rows.get(pick(rows, stages)) for stages in ((3, 4), (1, 2)))
    better = _gain("abstract", "Blocks at higher layers improve the accuracy by around 1 %", high, parameters, 1)
    if better.verdict in (REPRODUCED, INCONCLUSIVE) and (
        high["simultaneous_high"] < AROUND_ONE[0] or high["simultaneous_low"] > AROUND_ONE[1]
    ):
        better = Finding(**asdict(better) | {"verdict": CONTRADICTED})
    worse = _gain("abstract", "Blocks at lower layers get worse performance", low, parameters, -1)
    own = ACCURACIES["fer2013"][1, 2] - ACCURACIES["fer2013"][()]
    outcome = f"the paper's own Table I: {formats.points(own, 2)} pp; here: {worse.outcome}"
    verdict = REPRODUCED if worse.verdict == REPRODUCED else CONTRADICTED
    worse = Finding(**asdict(worse) | {"outcome": outcome, "verdict": verdict})
    stages = [rows.get(f"{parameters.baseline}-nl{stage}") for stage in (1, 2, 3, 4)]
    order = _gain("5", "Higher stages gain more than lower ones", _difference(low, high), parameters, 1)
    return [better, worse, _in_general([row for row in stages if row], parameters), order]


def pick(variants, stages):
    """Return, of the variants with blocks in some of these stages only, the one with most of them, or None.

    Only the paper's own function and placement count; the first of equals is taken.
    """
    found = [Variant.from_name(name) for name in variants]
    found = [v for v in found if v.stages and set(v.stages) <= set(stages)]
    found = [v for v in found if (v.pairwise, v.placement) == ("embedded_gaussian", "every")]
    return max(found, key=lambda v: len(v.stages)).name if found else None


def _difference(low, high):
    """Return the row of `high` against `low`; the pooled analysis has one standard error for every difference."""
    if low is None or high is None:
        return None
    difference, error, df = high["difference"] - low["difference"], high["standard_error"], high["df"]
    margin = stats.t.ppf(0.975, df) * error
    limits = {"simultaneous_low": difference - margin, "simultaneous_high": difference + margin}
    p_value = 2 * stats.t.sf(abs(difference) / error, df) if error else float(difference == 0)
    return high | limits | {"baseline": low["variant"], "difference": difference, "p_holm": p_value}


def _gain(section, claim, row, parameters, sign):
    if row is None:
        return Finding(section, claim, "paired difference of accuracy", "the study has no such network", NOT_RUN)
    test = f"accuracy of {row['variant']} minus that of {row['baseline']}, seeds and images as random effects"
    limits = formats.interval(row["simultaneous_low"], row["simultaneous_high"])
    outcome = f"{formats.points(row['difference'])} pp [{limits}], p {formats.p_value(row['p_holm'])}"
    outcome += f", {row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    if reason := _not_judged(row["seeds"], parameters):
        return Finding(section, claim, test, f"{outcome}; {reason}", NOT_RUN)
    verdict = INCONCLUSIVE
    if row["p_holm"] < 0.05:
        verdict = REPRODUCED if row["difference"] * sign > 0 else CONTRADICTED
    return Finding(section, claim, test, outcome, verdict)


def _in_general(rows, parameters):
    claim = "Accuracies generally improve with blocks at each of the four stages"
    outcome = (
        f"{sum(row['difference'] > 0 for row in rows)} of {len(rows)} stages trained here exceed the baseline"
    )
    significant = [row["difference"] for row in rows if row["p_holm"] < 0.05]
    reason = _not_judged(min((row["seeds"] for row in rows), default=0), parameters)
    if reason or len(rows) < 4:
        outcome, verdict = f"{outcome}; {reason or 'not all four were trained'}", NOT_RUN
    elif any(difference < 0 for difference in significant):
        verdict = CONTRADICTED
    else:
        verdict = REPRODUCED if len(significant) == 4 else INCONCLUSIVE
    return Finding("4", claim, "each single stage against the baseline", outcome, verdict)


def _not_judged(seeds, parameters):
    """Return why an accuracy claim is not judged here, or None."""
    if parameters.dataset == "synthetic":
        return "generated faces say nothing about real ones"
    return "one seed is one network" if seeds < 2 else None


def _data(splits):
    return f"{DATASET_NAMES[splits.dataset]}, protocol {splits.protocol}"


def _network(parameters):
    size, epochs = parameters.image_size, parameters.epochs
    return f"{parameters.baseline} at {size} px, {epochs} epochs, {DATASET_NAMES[parameters.dataset]}"


def epochs_table(runs):
    """Return both accuracies of the same validation predictions by run and epoch.

    Returns:
        A DataFrame: variant, seed, epoch, binary_accuracy, accuracy.
    """
    columns = {"val_binary_accuracy": "binary_accuracy", "val_accuracy": "accuracy"}
    parts = [
        run.history[["epoch", *columns]].rename(columns=columns).assign(variant=run.variant, seed=run.seed)
        for run in runs
    ]
    return pd.concat(parts, ignore_index=True)[["variant", "seed", "epoch", *columns.values()]]


def readings(epochs):
    """Return the paper's six accuracies, read as BinaryAccuracy.

    Args:
        epochs: `epochs_table`.

    Returns:
        A DataFrame, one row an accuracy: dataset, stages (tuple), network (label), reported, above_floor (reported minus
        6/7), if_confident (`metrics.accuracy_if_confident`), epochs (number of `epochs` within half a point of it),
        seen, seen_low, seen_high (their median, lowest and highest accuracy; NaN without any).
    """
    rows = []
    for dataset, numbers in ACCURACIES.items():
        for stages, reported in numbers.items():
            near = epochs.loc[(epochs["binary_accuracy"] - reported).abs() <= _NEAR, "accuracy"]
            rows.append(
                {
                    "dataset": dataset, "stages": stages, "network": Variant(50, stages).label,
                    "reported": reported, "above_floor": reported - BINARY_FLOOR,
                    "if_confident": metrics.accuracy_if_confident(reported), "epochs": len(near),
                    "seen": near.median(), "seen_low": near.min(), "seen_high": near.max(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def noise_table(runs, baseline, images=IMAGES["validation"], split="validation"):
    """Return what the differences of Table I are worth, from one run of each network on so many images.

    How much two networks disagree is taken from the study: every variant against the baseline of the same seed, mean over
    the pairs. Only the choice of images is random here; another seed adds to the error.

    Returns:
        A DataFrame, one row a difference and reading (`"7-class accuracy"`, `"BinaryAccuracy"`): network, reading,
        difference (the paper's), standard_error, z (their ratio), p_value (two-sided, normal), mde (minimum
        detectable effect at 80 % power), images_needed (to detect the paper's difference, about). NaN if the networks
        differ on no image.

    Raises:
        DataError: no variant shares a seed with the baseline.
    """
    discordant, variance = _disagreement(runs, baseline, split)
    binary = np.sqrt(variance / images)
    spread = {
        "7-class accuracy": (np.sqrt(discordant / images), inference.mcnemar_detectable(images, discordant)),
        "BinaryAccuracy": (binary, inference.minimum_detectable_effect(binary, images - 1)),
    }
    rows, before = [], ACCURACIES["fer2013"][()]
    for stages, reported in ACCURACIES["fer2013"].items():
        for reading, (error, mde) in spread.items() if stages else ():
            difference = reported - before
            z = difference / error if error else np.nan
            rows.append(
                {
                    "network": Variant(50, stages).label, "reading": reading, "difference": difference,
                    "standard_error": error, "z": z, "p_value": 2 * stats.norm.sf(z), "mde": mde,
                    "images_needed": images * (mde / difference) ** 2,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def discordance(runs, baseline, split="validation"):
    """Return the share of images that exactly one of baseline and variant classifies correctly, mean over pairs of a seed."""
    return _disagreement(runs, baseline, split)[0]


def _disagreement(runs, baseline, split):
    """Return the discordance, and the variance over images of the difference in correct binary decisions."""
    _, y_true, y_pred = aligned(runs, split)
    correct, decisions = dict(zip(_keys(runs), y_pred == y_true, strict=True)), {}
    for run in runs:
        found = run.predictions(split)
        of_image = metrics.correct_decisions(found.probabilities, found.y_true)
        decisions[run.variant, run.seed] = of_image[np.argsort(found.ids)]
    pairs = [((baseline, s), (v, s)) for v, s in _keys(runs) if v != baseline and (baseline, s) in correct]
    if not pairs:
        raise DataError("No variant shares a seed with the baseline", expected=baseline)
    differ = float(np.mean([correct[first] != correct[second] for first, second in pairs]))
    return differ, np.mean([np.var(decisions[second] - decisions[first], ddof=1) for first, second in pairs])


def _keys(runs):
    return [(run.variant, run.seed) for run in runs]


def power_of_one_run(discordances, sizes=np.geomspace(200, 20_000, 15).astype(int)):
    """Return the minimum detectable effect of the exact McNemar test: columns images, discordance, mde."""
    rows = [(n, share, inference.mcnemar_detectable(int(n), share)) for share in discordances for n in sizes]
    return pd.DataFrame(rows, columns=["images", "discordance", "mde"])
