"""The paper's claims against what is computed or was run here: claim, test, outcome, verdict.

The paper is Xue, "Facial Expression Recognition via Non-Local ResNet50". Every function takes tables of
`fer_lib.analysis` or the faces themselves, and returns `Finding`s; the verdict follows from the values, by a rule
that the function's docstring states. What was not run on the paper's data is not judged.
"""

from dataclasses import asdict, dataclass

import pandas as pd

from fer_lib.datasets import CLASS_NAMES
from fer_lib.datasets.checks import copies_of
from fer_lib.datasets.fer2013 import published_counts
from fer_lib.variants import STAGE_BLOCKS, Variant

EXACT, REPRODUCED, CONTRADICTED, UNTESTED = VERDICTS = (
    "exact", "reproduced", "contradicted", "cannot be tested",
)  # fmt: skip

SECTIONS = ("abstract", "2", "3.1.1", "4", "Table I", "Table II", "5")
# Section 2, section 5, and Tables I and II, by the stages that have blocks.
IMAGES = {"train": 22_968, "validation": 1_432}
KDEF_PICTURES = 4_900
PARAMETERS = {"plain": 23_527_431, "stage 3": 36_131_847, "stage 4": 48_714_759}
MULTIPLY_ADDS_AT_224 = 3.8e9
ACCURACIES = {
    "fer2013": {(): 0.8921, (3, 4): 0.9013, (1, 2): 0.8982},
    "kdef": {(): 0.7602, (3, 4): 0.7714, (1, 2): 0.7668},
}
TABLES = {"fer2013": "Table I", "kdef": "Table II"}
DATASETS = {"fer2013": "FER-2013", "kdef": "KDEF", "synthetic": "generated faces"}
# What of the paper's network and recipe is known.
SETUP = {"image_size": 96, "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50}


@dataclass(frozen=True)
class Finding:
    """One claim of the paper and what became of it; all str, `verdict` one of `VERDICTS`."""

    section: str
    claim: str
    test: str
    outcome: str
    verdict: str


def findings_table(findings):
    """One row a `Finding`, in the order of the paper: section, claim, test, outcome, verdict."""
    return pd.DataFrame([asdict(finding) for finding in sorted(findings, key=lambda f: SECTIONS.index(f.section))])


def image_counts(splits, train_limit=None):
    """FER-2013's 22,968 and 1,432 images, and whether the latter are held out.

    Counted in the faces where these are FER-2013 in the paper's cut, else worked out from the published number of
    images of each class: exact where equal, else contradicted. Held out is contradicted where an image of the
    1,432 is a copy of a training image, and cannot be tested on other data.

    Args:
        splits: the study's `Splits`.
        train_limit: the parameter of this name; with one, the training images are not counted.
    """
    here = (splits.dataset, splits.protocol) == ("fer2013", "paper")
    published = published_counts("paper")
    findings = []
    for name, claimed in IMAGES.items():
        counted = here and (name == "validation" or train_limit is None)
        number = len(getattr(splits, name)) if counted else sum(published[name])
        where = "the study's own files" if counted else "the published number of images of each class"
        test = f"`validation_split=0.2` on the folders: per class, the first int(0.2 n) files; from {where}"
        verdict = EXACT if number == claimed else CONTRADICTED
        kind = "training" if name == "train" else "test"
        findings.append(Finding("2", f"FER-2013: {claimed:,} {kind} images", test, f"{number:,}", verdict))
    return [*findings, _held_out(splits, here)]


def _held_out(splits, here):
    claim, test = "FER-2013: the test images are not training images", "equal pixels in the paper's two sets"
    if not here:
        return Finding("2", claim, test, f"{_data(splits)}: not the paper's two sets", UNTESTED)
    copies = int(copies_of(splits.train, splits.validation).sum())
    outcome = f"{copies:,} of {len(splits.validation):,} also stand in training"
    return Finding("2", claim, test, outcome, CONTRADICTED if copies else EXACT)


def kdef_counts(splits):
    """KDEF's 4,900 pictures: by arithmetic, and by the pictures of the study where it has all five angles.

    Exact where all are there, reproduced where no more than 1 % is missing (black pictures are left out).
    """
    product = 2 * 35 * 2 * len(CLASS_NAMES) * 5
    arithmetic = Finding(
        "2",
        "KDEF: 4,900 pictures of 35 women and 35 men, in 140 folders",
        "two sexes x 35 people x two sessions x seven expressions x five angles",
        f"{product:,} pictures in {2 * 35 * 2} folders",
        EXACT if product == KDEF_PICTURES else CONTRADICTED,
    )
    test = "pictures that the study could read, and the people in them"
    if splits.dataset != "kdef":
        return [arithmetic, Finding("2", "KDEF: 4,900 pictures", test, f"{_data(splits)}: not KDEF", UNTESTED)]
    people = pd.concat([faces.metadata for _, faces in splits.items()])
    number, sexes = len(people), people.groupby("sex")["subject"].nunique().to_dict()
    verdict = UNTESTED
    if people["angle"].nunique() == 5 and sexes == {"F": 35, "M": 35}:
        verdict = EXACT if number == KDEF_PICTURES else REPRODUCED if number >= 0.99 * KDEF_PICTURES else UNTESTED
    outcome = f"{number:,} pictures of {sexes.get('F', 0)} women and {sexes.get('M', 0)} men"
    return [arithmetic, Finding("2", "KDEF: 4,900 pictures", test, outcome, verdict)]


def architecture(costs, multiply_adds_at_224):
    """Bottlenecks a stage and the three parameter counts (exact or contradicted), and Figure 4's FLOPs.

    Args:
        costs: `complexity.cost_by_stage(50, (96, 96, 1))`.
        multiply_adds_at_224: of the plain network for 224 px, 3 channels and 1,000 classes; reproduced where they
            differ by a tenth at most, for the figure is He et al.'s and Keras strides elsewhere.
    """
    repeats = costs["blocks"].drop("plain").tolist()
    findings = [
        Finding(
            "3.1.1",
            f"3, 4, 6, 3 bottlenecks in stages 1 to 4 of {Variant(50).backbone}",
            "blocks after every bottleneck of each stage, counted",
            ", ".join(map(str, repeats)),
            EXACT if tuple(repeats) == STAGE_BLOCKS[50] == (3, 4, 6, 3) else CONTRADICTED,
        )
    ]
    for network, claimed in PARAMETERS.items():
        number = int(costs.loc[network, "trainable_parameters"])
        blocks = "no blocks" if network == "plain" else f"a block after every bottleneck of {network} alone"
        test = f"ResNetV2-50, one input channel, seven classes, {blocks}: weights counted"
        verdict = EXACT if number == claimed else CONTRADICTED
        findings.append(Finding("5", f"{claimed:,} trainable parameters", test, f"{number:,}", verdict))
    ratio = multiply_adds_at_224 / MULTIPLY_ADDS_AT_224
    verdict = REPRODUCED if abs(ratio - 1) <= 0.1 else CONTRADICTED
    outcome = f"{multiply_adds_at_224:.2e}, {ratio - 1:+.0%}"
    test = "multiply-adds of Keras' network at 224 px with 1,000 classes, within a tenth"
    return [*findings, Finding("3.1.1", "3.8e9 FLOPs (Figure 4)", test, outcome, verdict)]


def complexity_sentences(costs):
    """The two sentences on complexity, each by every cost that it could mean.

    Low stages are 1 and 2, high ones 3 and 4. A sentence is reproduced by a cost of which every low stage adds
    more (the abstract) or less (the discussion) than every high one, else contradicted.

    Args:
        costs: `complexity.cost_by_stage(50, (96, 96, 1))`.
    """
    abstract = "Complexity gets larger when adding blocks to lower layers than to higher ones"
    discussion = "Adding blocks to lower stages leads to less rise of complexity"
    asked = (
        ("abstract", abstract, "added_attention_multiply_adds", "multiply-adds between positions"),
        ("abstract", abstract, "added_attention_bytes", "bytes of the attention maps"),
        ("abstract", abstract, "added_multiply_adds", "all multiply-adds added"),
        ("5", discussion, "added_trainable_parameters", "trainable parameters added"),
        ("5", discussion, "added_multiply_adds", "all multiply-adds added"),
    )
    findings = []
    for section, claim, column, words in asked:
        added = costs.loc[[f"stage {stage}" for stage in (1, 2, 3, 4)], column].to_numpy()
        low, high = (added[:2], added[2:]) if section == "5" else (added[2:], added[:2])
        verdict = REPRODUCED if low.max() < high.min() else CONTRADICTED
        outcome = "stages 1 to 4: " + ", ".join(f"{value:,.0f}" for value in added)
        findings.append(Finding(section, claim, f"{words}, ResNetV2-50 at 96 px", outcome, verdict))
    return findings


def reported_accuracies(summary, readings, parameters):
    """The six accuracies of Tables I and II.

    Tested where the study trained the paper's network with what is known of its recipe (`SETUP`) on the table's
    data set: reproduced where the number lies in the interval of the 7-class accuracy, else contradicted.

    Args:
        summary: `evaluation.summary_table` of the study's runs.
        readings: `reported.reading_table`, what each number would mean as BinaryAccuracy.
        parameters: the study's `Parameters`.
    """
    same_setup = all(getattr(parameters, key) == value for key, value in SETUP.items())
    trained = summary.set_index("variant")
    findings = []
    for row in readings.to_dict("records"):
        stages = tuple(row["stages"])
        name = Variant(50, stages).name
        claim = f"{100 * row['reported']:.2f} % accuracy, {Variant(50, stages).label}, {DATASETS[row['dataset']]}"
        test = f"7-class accuracy of {name} trained here, 95 % interval"
        if same_setup and parameters.dataset == row["dataset"] and name in trained.index:
            found = trained.loc[name]
            inside = found["low"] <= row["reported"] <= found["high"]
            outcome = f"{found['mean']:.1%} [{found['low']:.1%}, {found['high']:.1%}]"
            verdict = REPRODUCED if inside else CONTRADICTED
        else:
            outcome = f"not trained here: the study has {_networks(parameters)}"
            verdict = UNTESTED
        findings.append(Finding(TABLES[row["dataset"]], claim, test, f"{outcome}; {_as_binary(row)}", verdict))
    return findings


def _as_binary(row):
    if row["above_floor"] < 0:
        return f"as BinaryAccuracy {-100 * row['above_floor']:.1f} points below a network that knows nothing"
    return f"as BinaryAccuracy {row['if_confident']:.1%} of the images, were every prediction confident"


def _data(splits):
    return f"{DATASETS[splits.dataset]}, protocol {splits.protocol}"


def _networks(parameters):
    plain, size = parameters.baseline, parameters.image_size
    return f"{plain} at {size} px, {parameters.epochs} epochs, {DATASETS[parameters.dataset]}"
