"""What the notebooks say of their tables: the numbers of the table, and no more than it holds."""

import pandas as pd
import pytest

from fer_lib.analysis import sentences, tables


def comparison(*p_values, families=None):
    rows = {"family": families or [tables.BLOCKS] * len(p_values), "p_holm": p_values, "mde": 0.021}
    return pd.DataFrame(rows, index=range(len(p_values)))


BLOCKS = (tables.MEAN_OF_BLOCKS, "mean of 2 networks with blocks minus baseline", 0.0087, -0.0026, 0.0199)
FUNCTIONS = (tables.OVER_CONTROL, "stage 4 minus the control", 0.0019, -0.0097, 0.0135)
CONTRASTS = pd.DataFrame([BLOCKS, FUNCTIONS], columns=["contrast", "label", "difference", "ci_low", "ci_high"])
CONTRASTS = CONTRASTS.assign(p_value=0.12, margin=0.015, p_equivalent=0.09)


def test_the_mean_effect_counts_networks_with_blocks_only():
    table = comparison(0.01, 0.3, 0.02, families=[tables.BLOCKS, tables.BLOCKS, tables.CONTROL])
    text = sentences.mean_effect(table.assign(difference=0.01, standard_error=0.005, df=14.0), CONTRASTS)
    assert text.startswith("On average 2 networks with blocks gain +0.9 pp (95 % CI −0.3 to +2.0);")
    assert sentences.mean_effect(comparison(), CONTRASTS).startswith("There is no comparison")


@pytest.mark.parametrize(
    ("difference", "p_value", "p_equivalent", "verdict"),
    [
        (0.002, 0.6, 0.01, "No difference of 1.5 pp or more."),
        (0.012, 0.01, 0.2, "Yes."),
        (-0.012, 0.01, 0.2, "No, the accuracy is lower."),
        (0.006, 0.04, 0.01, "Yes, by less than 1.5 pp."),
        (0.006, 0.2, 0.06, "Inconclusive."),
    ],
)
def test_the_primary_contrast_gives_the_verdict(difference, p_value, p_equivalent, verdict):
    row = {"contrast": tables.PRIMARY, "difference": difference, "p_value": p_value, "p_equivalent": p_equivalent}
    found, text = sentences.planned(pd.concat([CONTRASTS, CONTRASTS.head(1).assign(**row)]))
    assert found == verdict
    assert text.startswith("Planned before the runs, mean of 2 networks with blocks minus baseline: ")
    assert ("not shown to be equivalent within ± 1.5 pp" in text) == (p_equivalent > 0.05)
    assert sentences.planned(CONTRASTS)[0] == "No answer."


def test_the_control_is_named_and_its_contrast_given():
    table = comparison(0.2, 0.04).assign(baseline="resnet50v2-nl4-none")
    text = sentences.against_control(table, CONTRASTS)
    assert text.startswith("1 of 2 functions differ significantly from stage 4") and "+0.2 pp" in text
    assert "with one seed" in sentences.against_control(table, CONTRASTS.iloc[:0])
    assert "no control" in sentences.against_control(table.iloc[:0], CONTRASTS)


def test_power_names_the_seeds_that_one_point_needs():
    by_seeds = pd.DataFrame({"seeds": [3, 12, 13], "mde": [0.021, 0.01, 0.009]})
    table = comparison(0.2)
    assert sentences.power(table, by_seeds).endswith("detect 2.1 pp; 1 pp would need 12 seeds of every network.")
    assert sentences.power(table, by_seeds.iloc[:1]).endswith("1 pp is out of reach on these images.")
    assert sentences.power(table, by_seeds.iloc[:0]).startswith("With one seed, the McNemar test")
