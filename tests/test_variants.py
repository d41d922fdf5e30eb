import pytest

from fer_lib.errors import ParameterError
from fer_lib.variants import PAIRWISE_FUNCTIONS, PLACEMENTS, STAGE_BLOCKS, Variant


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("resnet50v2", Variant(50)),
        ("resnet50v2-nl3", Variant(50, (3,))),
        ("resnet101v2-nl12", Variant(101, (1, 2))),
        ("resnet26v2-nl34-dot_product", Variant(26, (3, 4), "dot_product")),
        ("resnet26v2-nl3-none", Variant(26, (3,), "none")),
        ("resnet50v2-nl3-before_last", Variant(50, (3,), placement="before_last")),
        ("resnet50v2-nl3-gaussian-before_last", Variant(50, (3,), "gaussian", "before_last")),
    ],
)
def test_names_and_variants_are_one_to_one(name, variant):
    assert Variant.from_name(name) == variant
    assert variant.name == name


def test_every_variant_is_found_again_by_its_name():
    for depth in STAGE_BLOCKS:
        for stages in ((1,), (2, 4), (1, 2, 3, 4)):
            for pairwise in PAIRWISE_FUNCTIONS:
                for placement in PLACEMENTS:
                    variant = Variant(depth, stages, pairwise, placement)
                    assert Variant.from_name(variant.name) == variant


def test_the_papers_own_function_may_be_spelled_out():
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
        (None, "'?None'?"),
    ],
)
def test_what_is_no_name_is_refused(name, found):
    with pytest.raises(ParameterError, match=f"Found: {found}"):
        Variant.from_name(name)


def test_labels_are_short_words():
    assert Variant(50).label == "baseline"
    assert Variant(50, (3,)).label == "stage 3"
    assert Variant(50, (3, 4), "dot_product").label == "stages 3-4, dot product"
    assert Variant(50, (3,), "none").label == "stage 3, identity attention (control)"
    assert Variant(50, (3,), placement="before_last").label == "stage 3, one block"
