"""What the paper (Xue, "Facial Expression Recognition via Non-Local ResNet50") says; accuracies are fractions."""

from fer_lib.parameters import Parameters

# What is known of network and recipe: sections 3.1.1 (backbone, pooling), 3.2 (size, augmentation), 4.
# Not stated: optimiser, learning rate, dropout rate, subsampling; how KDEF is divided, its size in the network.
SETUP = {
    "image_size": 96, "width": 1.0, "stem": "imagenet", "pooling": "max", "batch_size": 64, "epochs": 50,
    "shift": 0.1, "flip": True,
}  # fmt: skip
BASELINE = "resnet50v2"
BLOCKS = (3, 4, 6, 3)  # bottlenecks in stages 1 to 4
STEM_FILTERS = 64
IMAGES = {"train": 22_968, "validation": 1_432}  # FER-2013; the second is called "test"
KDEF_IMAGES = 4_900
KDEF_TEST_IMAGES = 980  # a fifth: the paper does not say how many it tests on
PARAMETERS = {"baseline": 23_527_431, "stage 3": 36_131_847, "stage 4": 48_714_759}
MACS_AT_224 = 3.8e9  # Figure 4, which is He et al.'s table
# Tables I and II, by data set and the stages that have blocks.
ACCURACIES = {
    ("fer2013", ()): 0.8921, ("fer2013", (3, 4)): 0.9013, ("fer2013", (1, 2)): 0.8982,
    ("kdef", ()): 0.7602, ("kdef", (3, 4)): 0.7714, ("kdef", (1, 2)): 0.7668,
}  # fmt: skip
TABLES = {"fer2013": "Table I", "kdef": "Table II"}
SECTIONS = ("abstract", "2", "3.1.1", "3.2.1", "3.2.2", "4", "Table I", "Table II", "5")
# A name of this project's -> section and the paper's words.
CLAIMS = {
    "higher": (
        "abstract", "adding the non-local block to higher layers could improve the accuracy for around 1%"),
    "lower": ("abstract", "with a non-local block on lower layers would get worse performance"),
    "complexity": (
        "abstract", "the computation complexity would get larger when adding it to lower layers than higher ones"),
    "images": ("2", "22968 images for training and 1432 images for test"),
    "kdef images": (
        "2", "4900 pictures in total … 35 males and 35 females with 7 basic facial expressions … 5 angles"),
    "kdef folders": (
        "3.2.2", "140 directories … 35 images in one directory … 562 × 762 pixel pictures with color"),
    "bottlenecks": (
        "3.1.1", "Stage 1 to stage 4 are all composed of bottlenecks with certain repetitions 3, 4, 6, 3"),
    "stage 0": (
        "3.1.1",
        "a 7 × 7 convolution with stride 2, a Batch Normalization, a ReLU activation, and a 3 × 3 max pooling"),
    "flops": ("3.1.1", "FLOPs … 3.8 × 10^9 (Figure 4)"),
    "48 px": ("3.2.1", "the original image size (48, 48, 1) would be too small for training"),
    "improved": ("4", "generally improved with non-local blocks on each four stage"),
    "order": ("5", "Adding non-local blocks to higher stages would give more rise to the accuracy"),
    "less rise": ("5", "adding it to lower stage would lead to less rise to computation complexity"),
}  # fmt: skip


def gain(stages: tuple[int, ...], dataset: str = "fer2013") -> float:
    """Return the paper's accuracy with blocks in these stages, a tuple, minus that of its baseline."""
    return round(ACCURACIES[dataset, stages] - ACCURACIES[dataset, ()], 4)


def departures(parameters: Parameters) -> dict[str, tuple]:
    """Return the keys of `SETUP` in which a study's `Parameters` differ: key -> (the paper's, the study's)."""
    own = {key: getattr(parameters, key) for key in SETUP}
    return {key: (value, own[key]) for key, value in SETUP.items() if own[key] != value}


def is_setup(parameters: Parameters, dataset: str = "fer2013") -> bool:
    """Return whether a study trains the paper's network with what is known of its recipe, on one of its data sets.

    FER-2013 must be divided as the paper has it; how it divided KDEF is not known.
    """
    same_data = parameters.dataset == dataset and (dataset == "kdef" or parameters.protocol == "paper")
    return same_data and parameters.baseline == BASELINE and not departures(parameters)
