import itertools

import pytest

from fer_lib.errors import ParameterError
from fer_lib.variants import GAUSSIANS, PAIRWISE_FUNCTIONS, PLACEMENTS, STAGE_BLOCKS, Variant


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("resnet50v2", Variant(50)),
        ("resnet101v2-nl12", Variant(101, (1, 2))),
        ("resnet26v2-nl34-dot_product", Variant(26, (3, 4), "dot_product")),
        ("resnet26v2-nl3-uniform", Variant(26, (3,), "uniform")),
        ("resnet50v2-nl3-pre-scaled", Variant(50, (3,), pre=True, scaled=True)),
        ("resnet50v2-nl3-dot_product-pre", Variant(50, (3,), "dot_product", pre=True)),
        ("resnet50v2-nl3-gaussian-before_last", Variant(50, (3,), "gaussian", "before_last")),
    ],
)
def test_names_and_variants_are_one_to_one(name, variant):
    assert Variant.from_name(name) == variant
    assert variant.name == name


def test_every_variant_is_found_again_by_its_name():
    parts = (1,), (2, 4), (1, 2, 3, 4)
    for each in itertools.product(STAGE_BLOCKS, parts, PAIRWISE_FUNCTIONS, PLACEMENTS, (0, 1), (0, 1)):
        depth, _, pairwise, placement, _, scaled = each
        if not ((placement == "before_last" and depth == 14) or (scaled and pairwise not in GAUSSIANS)):
            assert Variant.from_name(Variant(*each).name) == Variant(*each)


def test_the_earlier_name_of_the_control_is_read_and_the_papers_own_function_may_be_spelled_out():
    assert Variant.from_name("resnet50v2-nl4-none").name == "resnet50v2-nl4-identity"
    assert Variant.from_name("resnet50v2-nl4-none-before_last").placement == "before_last"
    assert Variant.from_name("resnet50v2-nl3-embedded_gaussian").name == "resnet50v2-nl3"


def test_depth_counts_the_layers():
    # He et al. (2016): three convolutions a bottleneck, one before all, one dense layer behind.
    for depth, blocks in STAGE_BLOCKS.items():
        assert 3 * sum(blocks) + 2 == depth


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet50", "'resnet50'"),
        ("ResNet50V2", "'ResNet50V2'"),
        ("resnet50v2-nl", "'resnet50v2-nl'"),
        ("resnet50v2-nl3-", "'resnet50v2-nl3-'"),
        ("resnet50v2-before_last", "'resnet50v2-before_last'"),
        ("resnet50v2-nl3 ", "'resnet50v2-nl3 '"),
        ("resnet34v2", "34"),
        ("resnet50v2-nl5", "nl5"),
        ("resnet50v2-nl43", "nl43"),
        ("resnet50v2-nl33", "nl33"),
        ("resnet50v2-nl3-softmax", "'softmax'"),
        ("resnet50v2-nl3-scaled-pre", "'resnet50v2-nl3-scaled-pre'"),
        ("resnet50v2-nl3-dot_product-scaled", "dot_product"),
        ("resnet14v2-nl3-before_last", r"\(1, 1, 1, 1\)"),
        (None, "'?None'?"),
    ],
)
def test_what_is_no_name_is_refused(name, found):
    with pytest.raises(ParameterError, match=f"Found: {found}"):
        Variant.from_name(name)


@pytest.mark.parametrize(
    ("variant", "label"),
    [
        (Variant(50), "baseline"),
        (Variant(50, (3, 4), "dot_product"), "stages 3-4, dot product"),
        (Variant(50, (3,), "identity"), "stage 3, identity attention (control)"),
        (Variant(50, (3,), placement="before_last"), "stage 3, one block"),
        (Variant(50, (3,), "gaussian", pre=True, scaled=True), "stage 3, Gaussian, normalised input, scaled"),
    ],
)
def test_labels_are_short_words(variant, label):
    assert variant.label == label
