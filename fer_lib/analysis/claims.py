"""The claims of `fer_lib.paper` against what is computed or was trained here.

A verdict follows from values by a rule that the function's docstring states. What was trained is judged only in
the paper's own setup, on its data.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_lib import paper
from fer_lib.analysis import inference, tables
from fer_lib.analysis.metrics import correct_decisions
from fer_lib.analysis.paper_numbers import BINARY, CONFIDENT, SEVEN, noise_table, readings, unsure_and_wrong
from fer_lib.datasets import Splits
from fer_lib.datasets.checks import copies_of
from fer_lib.datasets.fer2013 import published_counts
from fer_lib.display import DATASET_NAMES, interval, p_value, percent, points
from fer_lib.parameters import Parameters
from fer_lib.training.runs import Run
from fer_lib.variants import STAGE_BLOCKS, Variant

VERDICTS = (
    "exact", "reproduced", "contradicted", "depends on the reading", "inconclusive", "an assumption, not a claim",
    "not tested here",
)  # fmt: skip
EXACT, REPRODUCED, CONTRADICTED, DEPENDS, INCONCLUSIVE, ASSUMPTION, NOT_TESTED = VERDICTS
AROUND_ONE = (0.005, 0.015)  # "around 1 %" is what rounds to 1


class Finding(NamedTuple):
    """One claim of the paper and what became of it; all str, `verdict` one of `VERDICTS`."""

    section: str
    claim: str
    test: str
    outcome: str
    verdict: str


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """Return one row per `Finding`, in the order of the paper: section, claim, test, outcome, verdict."""
    in_order = sorted(findings, key=lambda finding: paper.SECTIONS.index(finding.section))
    return pd.DataFrame(in_order, columns=Finding._fields)


def _finding(name, test, outcome, verdict):
    return Finding(*paper.CLAIMS[name], test, outcome, verdict)


def data_claims(splits: Splits) -> list[Finding]:
    """Return findings on the numbers of images: exact if equal, else contradicted.

    FER-2013 is counted in the study's own images if they are whole and divided as the paper does, else worked out
    from the published number of images of each class. KDEF is arithmetic, and counted if the study reads all five
    angles: reproduced if at most 1 % are missing (black images are left out). That no test image is a training
    image is an assumption of any test: the duplicates are counted where these are the paper's two sets.
    """
    here = (splits.dataset, splits.protocol) == ("fer2013", "paper")
    numbers = {split: sum(published_counts("paper")[split]) for split in paper.IMAGES}
    source = "the published number of images of each class"
    if here:
        numbers = {split: len(getattr(splits, split)) for split in paper.IMAGES}
        source = "the study's own files"
    test = f"validation_split=0.2 on the folders: per class, the first int(0.2 n) files; from {source}"
    outcome = " and ".join(f"{n:,}" for n in numbers.values())
    findings = [_finding("images", test, outcome, _judged(numbers == paper.IMAGES))]
    outcome, verdict = f"{DATASET_NAMES[splits.dataset]}, protocol {splits.protocol}: other sets", NOT_TESTED
    if here and splits.validation is not None:
        duplicates, verdict = int(copies_of(splits.train, splits.validation).sum()), ASSUMPTION
        outcome = f"{duplicates:,} of {len(splits.validation):,} test images are exact copies of training images"
    claim = "the test images are not training images (assumed, not stated)"
    findings.append(Finding("2", claim, "equal pixels in the paper's two sets", outcome, verdict))
    outcome, verdict = "4,900 images by arithmetic", _judged(paper.KDEF_IMAGES == 2 * 35 * 2 * 7 * 5)
    if splits.dataset == "kdef":
        rows = pd.concat([images.metadata for _, images in splits.items()])
        if rows["angle"].nunique() == 5:
            outcome, share = f"{outcome}, {len(rows):,} read", len(rows) / paper.KDEF_IMAGES
            verdict = EXACT if share == 1 else _judged(0.99 <= share < 1, REPRODUCED)
    test = "2 sexes x 35 subjects x 2 sessions x 7 expressions x 5 angles"
    findings.append(_finding("kdef images", test, outcome, verdict))
    test = "70 subjects x 2 sessions; 7 expressions x 5 angles; KDEF's own documentation"
    return [*findings, _finding("kdef folders", test, "140 x 35, 562 x 762", EXACT)]


def architecture_claims(costs: pd.DataFrame, macs_at_224: float) -> list[Finding]:
    """Return findings on the network: counts are exact or contradicted, sentences depend on the cost.

    `costs` is `complexity.cost_by_stage(50, (96, 96, 1))`, `macs_at_224` of the baseline for 224 px, 3 channels
    and 1,000 classes. FLOPs are reproduced within a tenth: they are He et al.'s, and Keras strides elsewhere. A
    sentence on complexity holds for a cost if each low stage, 1 and 2, adds more of it (the abstract) or less (the
    discussion) than each high one, 3 and 4.
    """
    blocks = tuple(costs["blocks"].drop("baseline"))
    test, outcome = "blocks after every bottleneck of each stage, counted", ", ".join(map(str, blocks))
    findings = [_finding("bottlenecks", test, outcome, _judged(blocks == STAGE_BLOCKS[50] == paper.BLOCKS))]
    counted, claimed = costs["trainable_parameters"], paper.PARAMETERS["baseline"]
    for network, number in paper.PARAMETERS.items():
        words = "no blocks" if network == "baseline" else f"a block after every bottleneck of {network} only"
        test = f"weights of ResNetV2-50 with one input channel, seven classes and {words}"
        verdict = _judged(counted[network] == number)
        claim = f"trainable parameters: {number:,}"
        findings.append(Finding("5", claim, test, f"{int(counted[network]):,}", verdict))
    with_norm = int(counted["baseline"]) + 2 * paper.STEM_FILTERS  # gamma and beta of each filter
    test = (
        "Keras' ResNetV2 normalises before each bottleneck, not after the first convolution; with it, the weights"
    )
    outcome = f"{with_norm:,}, against the paper's own {claimed:,}"
    findings.append(_finding("stage 0", test, outcome, _judged(with_norm == claimed)))
    excess = macs_at_224 / paper.MACS_AT_224 - 1
    test = "He et al.'s table, of ResNet-50; MACs of Keras' ResNetV2-50 at 224 px, 1,000 classes, within a tenth"
    outcome = f"{macs_at_224:.2e} ({points(excess, 0)} %)"
    findings.append(_finding("flops", test, outcome, _judged(abs(excess) <= 0.1, REPRODUCED)))
    attention = {"attention_macs": "MACs between positions", "attention_bytes": "memory of the attention maps"}
    weights = {"trainable_parameters": "trainable parameters"}
    for name, meanings in (("complexity", attention), ("less rise", weights)):
        holds: dict[bool, list[str]] = {True: [], False: []}
        for cost, words in (meanings | {"macs": "all MACs"}).items():
            low, high = np.split(costs[f"added_{cost}"].drop("baseline").to_numpy(), 2)
            less, more = (low, high) if name == "less rise" else (high, low)
            holds[bool(less.max() < more.min())].append(words)
        parts = [f"{'true' if so else 'false'} of {' and '.join(words)}" for so, words in holds.items() if words]
        verdict = DEPENDS if all(holds.values()) else _judged(holds[True], REPRODUCED)
        test = "what blocks at each stage add to ResNetV2-50 at 96 px"
        findings.append(_finding(name, test, "; ".join(parts), verdict))
    return findings


def accuracy_claims(runs: list[Run], parameters: Parameters, split: str = "validation") -> list[Finding]:
    """Return findings on the accuracies of Tables I and II and on what blocks bring, in the paper's setup only.

    An accuracy is reproduced in a reading, 7-class or BinaryAccuracy, if it lies in the 95 % CI of this study's,
    else contradicted. A gain is judged from two seeds on, by the 95 % CI of a difference in the pooled analysis:
    around 1 % is contradicted by a CI outside 0.5 to 1.5 pp and reproduced by one above 0; the order of the stages
    and the four single stages (Holm-adjusted) by one on either side of 0. Readings that disagree: it depends.
    """
    noise = noise_table(runs, parameters.baseline, split)
    elsewhere = (
        f"this study: {parameters.baseline}, {DATASET_NAMES[parameters.dataset]}, protocol {parameters.protocol}, "
        f"{parameters.image_size} px, {parameters.pooling} pooling, {parameters.epochs} epochs"
    )
    arguments = runs, parameters, split, noise, elsewhere
    return [*_reported(*arguments), *_gains(*arguments)]


def _reported(runs, parameters, split, noise, elsewhere):
    findings, (_, wrong) = [], unsure_and_wrong(runs, split)
    for row in readings(runs, parameters, split).to_dict("records"):
        dataset, outcome, verdict = row["dataset"], elsewhere, NOT_TESTED
        if pd.notna(row["accuracy"]):
            limits = [(row[f"{name}_low"], row[f"{name}_high"]) for name in ("ci", "binary")]
            verdict = _either(*(_judged(low <= row["reported"] <= high, REPRODUCED) for low, high in limits))
            values = zip((SEVEN, BINARY), (row["accuracy"], row["binary_accuracy"]), limits, strict=True)
            outcome = "; ".join(f"{name} {percent(v)} ({interval(*ends, percent)})" for name, v, ends in values)
        if row["above_floor"] < 0:
            outcome += (
                f"; no BinaryAccuracy, {points(row['above_floor'])} pp from the all-negative baseline: 7-class "
                "accuracy, another metric, or a network that did not learn"
            )
        else:
            outcome += f"; very probably BinaryAccuracy: {percent(row['if_confident'])} if every prediction is "
            outcome += "confident, less if over half of the unsure ones are wrong"
            outcome += f" ({percent(wrong, 0)} are here)" if pd.notna(wrong) else ""
        errors = noise[(noise["dataset"] == dataset) & (noise["network"] == row["network"])]
        if dataset == "kdef" and errors["standard_error"].notna().any():
            gain, error = points(errors["difference"].iloc[0], 2), percent(errors["standard_error"].iloc[0])[:-2]
            outcome += f"; its {gain} pp over the baseline have a standard error of about {error} pp on "
            outcome += f"{paper.KDEF_TEST_IMAGES} images"
        claim = f"{percent(row['reported'], 2)} accuracy, {row['network']}, {DATASET_NAMES[dataset]}"
        findings.append(Finding(paper.TABLES[dataset], claim, "both readings, 95 % CI", outcome, verdict))
    return findings


def _gains(runs, parameters, split, noise, elsewhere):
    baseline, names = parameters.baseline, tables.scores(runs, parameters.baseline, split)[0]
    comparable = names if parameters.dataset in paper.TABLES else []  # other images are not the paper's question
    high, low = (tables.pick(comparable, stages) for stages in ((3, 4), (1, 2)))
    judged = paper.is_setup(parameters) or paper.is_setup(parameters, "kdef")
    suffix, outcomes, verdicts = "" if judged else f"; {elsewhere}", [], [NOT_TESTED]
    if high:
        scores = {SEVEN: {}, BINARY: {"score": correct_decisions}}
        pair = runs, baseline, split, high, baseline
        tests = {reading: _difference(*pair, AROUND_ONE, **score) for reading, score in scores.items()}
        outcomes = [f"{reading} {words}" for reading, (words, _) in tests.items()]
        verdicts = [verdict for _, verdict in tests.values()]
    if noise["z"].notna().all():
        own = noise[(noise["dataset"] == "fer2013") & (noise["network"] == "stages 3-4")]
        z = own.set_index("reading")["z"]
        outcomes.append(
            f"the paper's own {points(paper.gain((3, 4)), 2)} pp, of one run each: z {z[SEVEN]:.1f} as {SEVEN}, "
            f"{z[CONFIDENT]:.1f} to {z[BINARY]:.1f} as {BINARY}, less if the best of 50 epochs was picked"
        )
    test = f"{high or 'blocks in stages 3 or 4'} minus {baseline}, both readings"
    verdict = _either(*verdicts) if judged else NOT_TESTED
    findings = [_finding("higher", test, "; ".join(outcomes) + suffix, verdict)]
    gain, behind = points(paper.gain((1, 2)), 2), points(paper.gain((1, 2)) - paper.gain((3, 4)), 2)
    test = "two readings: worse than the baseline, or worse than blocks at higher layers"
    outcome = f"the paper's own Table I: {gain} pp over the baseline, {behind} pp against stages 3-4"
    findings.append(_finding("lower", test, outcome, DEPENDS))
    table = tables.comparison(runs, baseline, split).set_index("variant")
    stages = table.reindex([f"{baseline}-nl{stage}" for stage in (1, 2, 3, 4)]).dropna(how="all")
    shown = stages.loc[stages["standard_error"].notna() & (stages["p_holm"] < 0.05), "difference"]
    verdict = CONTRADICTED if (shown < 0).any() else REPRODUCED if len(shown) == 4 else INCONCLUSIVE
    outcome = f"{(stages['difference'] > 0).sum()} of {len(stages)} stages trained here exceed the baseline"
    verdict = verdict if judged and len(stages) == 4 else NOT_TESTED
    findings.append(_finding("improved", "each single stage against the baseline", outcome + suffix, verdict))
    test, outcome, verdict = "blocks in stages 3 or 4 minus blocks in stages 1 or 2", "no such pair", NOT_TESTED
    if high and low:
        test, (outcome, verdict) = f"{high} minus {low}", _difference(runs, baseline, split, high, low)
    findings.append(_finding("order", test, outcome + suffix, verdict if judged else NOT_TESTED))
    blocks = sum(bool(Variant.from_name(name).stages) for name in names)
    at_48 = parameters.image_size <= 48 and parameters.dataset == "fer2013" and blocks > 0
    outcome = f"{blocks} networks with blocks learned at {parameters.image_size} px" + ("" if at_48 else suffix)
    test, verdict = "a network with blocks learns FER-2013 at 48 px", CONTRADICTED if at_48 else NOT_TESTED
    return [*findings, _finding("48 px", test, outcome, verdict)]


def _difference(runs, baseline, split, first, second, around=(0, np.inf), **score):
    """Return (words, verdict) on the first network's mean score minus the second's; one seed decides nothing."""
    names, values = tables.scores(runs, baseline, split, **score)
    if values.shape[1] > 1:
        test = inference.obuchowski_rockette(values).difference(names.index(second), names.index(first))
    else:
        test = inference.mean_test((values[names.index(first)] - values[names.index(second)])[0])
    words = f"{points(test.estimate)} pp ({interval(test.low, test.high)}), p {p_value(test.p_value)}"
    if values.shape[1] == 1:
        return f"{words}, these two trained networks only", INCONCLUSIVE
    if test.high < around[0] or test.low > around[1]:
        return words, CONTRADICTED
    return words, REPRODUCED if test.low > 0 else INCONCLUSIVE


def _judged(holds, verdict=EXACT):
    return verdict if holds else CONTRADICTED


def _either(*verdicts):
    return verdicts[0] if len(set(verdicts)) == 1 else DEPENDS
