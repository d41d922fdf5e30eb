"""Statistics against SciPy, statsmodels, published tables and simulation.

A simulated rate has a binomial error of its own; `margin` is four times that, so that a right implementation fails
about once in 16,000 seeds, and the seeds are fixed.
"""

import sys
import warnings
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from fer_lib.analysis import inference
from fer_lib.analysis.tables import align_predictions
from fer_lib.parameters import read_parameters
from fer_lib.training.runs import study_runs

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from simulate_inference import draw_study, error_rates


def margin(rate, trials):
    return 4 * np.sqrt(rate * (1 - rate) / trials)


def test_wilson_interval_agrees_with_statsmodels_and_is_unknown_without_images():
    for correct, n in ((0, 5), (5, 5), (816, 1432), (1, 22)):
        found = inference.wilson_interval(correct, n)
        assert (found.low, found.high) == pytest.approx(proportion_confint(correct, n, method="wilson"), abs=1e-12)
        assert found.estimate == correct / n
    found = inference.wilson_interval(0, 0)
    assert np.isnan([found.estimate, found.low, found.high]).all()


def paired(both, b, c, neither):
    """Two bool arrays with these counts in their 2 x 2 table."""
    first = np.repeat([True, True, False, False], [both, b, c, neither])
    return first, np.repeat([True, False, True, False], [both, b, c, neither])


@pytest.mark.parametrize("table", [(59, 6, 16, 80), (700, 90, 130, 512), (5, 0, 1, 0), (3, 4, 4, 3)])
def test_mcnemar_agrees_with_statsmodels(table):
    both, b, c, neither = table
    found, turned = inference.mcnemar(*paired(*table)), inference.mcnemar(*paired(both, c, b, neither))
    assert found.p_value == pytest.approx(reference_mcnemar([[both, b], [c, neither]], exact=True).pvalue)
    assert found.estimate == pytest.approx((c - b) / sum(table))
    assert (found.estimate, found.low, found.high) == pytest.approx((-turned.estimate, -turned.high, -turned.low))


def test_mcnemar_agrees_with_a_published_example():
    """Cavo et al. 2012, in Fagerland, Lydersen, Laake (2017), Statistical Analysis of Contingency Tables, 8."""
    found = inference.mcnemar(*paired(59, 6, 16, 80))
    assert found.p_value == pytest.approx(0.052479, abs=5e-7)
    assert (found.low, found.estimate, found.high) == pytest.approx((0.0054, 0.0621, 0.1240), abs=5e-5)


def test_mcnemar_of_identical_networks_and_of_other_images():
    found = inference.mcnemar([True, False] * 50, [True, False] * 50)
    assert (found.p_value, found.estimate) == (1, 0)
    assert found.low == pytest.approx(-found.high) and found.high > 0
    with pytest.raises(ValueError, match=r"Received: \(3,\), \(4,\)"):
        inference.mcnemar([True] * 3, [True] * 4)


@pytest.mark.parametrize(("b", "c", "n"), [(6, 16, 161), (0, 4, 50), (90, 130, 1432)])
def test_tango_limits_are_where_the_score_test_rejects(b, c, n):
    """The discordance under each limit is found by maximising the likelihood, not by Tango's formula."""
    found = inference.tango_interval(b, c, n)
    for limit in (found.low, found.high):

        def surprise(p_b, limit=limit):
            chances = np.array([p_b, p_b + limit, 1 - 2 * p_b - limit])
            return -np.sum(np.array([b, c, n - b - c]) * np.log(np.maximum(chances, 1e-300)))

        bounds = (max(0, -limit), (1 - limit) / 2)
        p_b = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
        error = np.sqrt((2 * p_b + limit - limit**2) / n)
        assert abs((c - b) / n - limit) / error == pytest.approx(stats.norm.ppf(0.975), rel=1e-3)


def test_tango_interval_stands_at_every_corner():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = [(b, c, n) for n in (1, 2, 7) for b in range(n + 1) for c in range(n + 1 - b)]
        for table in [*tables, (0, 0, 1432), (1, 0, 1432), (0, 1432, 1432), (716, 716, 1432)]:
            found = inference.tango_interval(*table)
            assert -1 <= found.low <= found.estimate <= found.high <= 1 and found.low < found.high


def test_crossed_mean_by_hand():
    """Means 2 and 4 of the seeds, 1.5, 2.5, 5 of the images; mean squares worked out on paper."""
    found = inference.crossed_mean([[1, 1, 4], [2, 4, 6]])
    # Seeds 3 * 2 * 1 = 6; images 2 * (1.5^2 + 0.5^2 + 2^2) / 2 = 6.5; residuals +-(0.5, -0.5, 0): 1 / 2 = 0.5.
    assert found.estimate == 3
    assert found.standard_error == pytest.approx(np.sqrt((6 + 6.5 - 0.5) / 6))
    assert found.df == pytest.approx((12 / 6) ** 2)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 4, loc=3, scale=np.sqrt(2)))
    assert found.p_value == pytest.approx(2 * stats.t.sf(3 / np.sqrt(2), 4))


def test_crossed_mean_of_identical_networks_and_of_too_few():
    found = inference.crossed_mean(np.zeros((3, 20)))
    assert (found.estimate, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match=r"at least 2 of each. Received: \(2, 1, 20\)"):
        inference.crossed_mean(np.zeros((1, 20)))


def test_minimum_detectable_effect_agrees_with_statsmodels():
    for seeds in (3, 20):
        effect = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)  # in standard deviations
        found = inference.minimum_detectable_effect(0.02 / np.sqrt(seeds), seeds - 1)
        assert found == pytest.approx(effect * 0.02, rel=1e-4)
    assert np.isnan(inference.minimum_detectable_effect(0, np.inf))


@pytest.fixture(scope="module")
def committed():
    """Which images the committed runs classify correctly, bool (8 networks, 3 seeds, 1,432 images)."""
    study = Path(__file__).parents[2] / "outputs/fer2013_grid"
    parameters = read_parameters(study / "params.yaml")
    _, y_true, y_pred = align_predictions(study_runs(study, parameters))  # seed by seed
    return np.moveaxis((y_pred == y_true).reshape(3, 8, 1432), 0, 1)


def test_the_committed_predictions_give_what_was_worked_out_by_hand(committed):
    found = inference.obuchowski_rockette(committed)
    assert found.ms_interaction == pytest.approx(7.05e-5, rel=1e-3)
    assert (found.cov1, found.cov2, found.cov3) == pytest.approx((1.060e-4, 1.022e-4, 1.027e-4), rel=1e-3)
    standard_error, df = found.with_seeds()
    assert df == pytest.approx(14)
    assert standard_error == pytest.approx(0.00685, abs=5e-6)
    assert found.f_test() == pytest.approx((1.39, 0.28), abs=5e-3)
    tests = [found.difference(0, other) for other in range(1, 8)]
    assert [round(100 * test.estimate, 1) for test in tests] == [0.1, 1.4, 0.9, 0.4, 1.2, 1.4, 0.6]
    assert [100 * (test.high - test.low) / 2 for test in tests] == pytest.approx([1.47] * 7, abs=5e-3)
    assert 100 * inference.minimum_detectable_effect(standard_error, df) == pytest.approx(2.1, abs=0.05)
    assert not found.pooling_doubtful


def variance_components(correct):
    """Sums over pairs, as Obuchowski and Rockette define them; slow, and independent of the library's matrices."""
    networks, seeds, images = correct.shape
    parts = {(True, True): [], (False, True): [], (True, False): [], (False, False): []}
    for i, j, k, m in np.ndindex(networks, seeds, networks, seeds):
        parts[i == k, j == m].append(np.cov(correct[i, j], correct[k, m])[0, 1] / images)
    return [np.mean(values) for values in parts.values()]  # variance, Cov1, Cov2, Cov3


def test_variance_components_and_degrees_of_freedom_by_definition():
    correct = draw_study(np.random.default_rng(2), networks=3, seeds=4, seed_sds=0.05, images=300)
    found, (variance, *covs) = inference.obuchowski_rockette(correct), variance_components(correct.astype(float))
    assert (found.cov1, found.cov2, found.cov3) == pytest.approx(covs)
    assert found.ms_error == pytest.approx(variance - covs[0] - covs[1] + covs[2])
    excess = 4 * max(covs[1] - covs[2], 0)
    assert excess > 0 and found.ms_interaction > found.ms_error  # the seed chosen so
    standard_error, df = found.with_seeds()
    assert df == pytest.approx((found.ms_interaction + excess) ** 2 / (found.ms_interaction**2 / 6))
    assert standard_error == pytest.approx(np.sqrt(2 / 4 * (found.ms_interaction + excess)))


def test_two_networks_are_the_crossed_mean_of_their_difference():
    for seed in range(4):
        correct = draw_study(np.random.default_rng(seed), networks=2, seeds=3, seed_sds=0.01 * seed, images=300)
        pooled = inference.obuchowski_rockette(correct).difference(0, 1)
        pairwise = inference.crossed_mean(correct[1].astype(int) - correct[0])
        assert astuple(pooled) == pytest.approx(astuple(pairwise))


def test_clusters_of_one_image_change_nothing_and_larger_ones_do():
    correct = draw_study(np.random.default_rng(5), 3, 3, seed_sds=0.01, images_a_cluster=10, images=400)
    known = None, np.arange(400)[::-1], np.arange(400) // 10
    plain, single, ten = (inference.obuchowski_rockette(correct, clusters) for clusters in known)
    assert (single.cov1, single.cov3) == pytest.approx((plain.cov1, plain.cov3))
    assert single.with_seeds() == pytest.approx(plain.with_seeds())
    assert ten.cov3 > 5 * plain.cov3 and ten.ms_interaction == plain.ms_interaction


def test_identical_networks_and_designs_that_cannot_be_analysed():
    same = np.broadcast_to(np.arange(50) % 2 == 0, (3, 2, 50))
    found = inference.obuchowski_rockette(same)
    assert (found.difference(0, 1).p_value, found.with_seeds()[0]) == (1, 0)
    assert np.isnan(found.f_test()).all()
    assert not found.pooling_doubtful
    with pytest.raises(ValueError, match=r"at least 2 of each. Received: \(3, 1, 50\)"):
        inference.obuchowski_rockette(same[:, :1])


def test_a_contrast_of_two_is_their_difference_and_of_more_narrower(committed):
    analysis = inference.obuchowski_rockette(committed)
    assert analysis.contrast([-1, 0, 0, 1, 0, 0, 0, 0]) == analysis.difference(0, 3)
    rest = np.r_[-1, np.full(7, 1 / 7)]
    mean, differences = analysis.contrast(rest), [analysis.difference(0, row) for row in range(1, 8)]
    assert mean.estimate == pytest.approx(np.mean([one.estimate for one in differences]))
    assert mean.standard_error == pytest.approx(differences[0].standard_error * np.sqrt((1 + 1 / 7) / 2))
    assert mean.df == differences[0].df
    for wrong in (rest[1:], np.abs(rest)):
        with pytest.raises(ValueError, match="weights that sum to 0"):
            analysis.contrast(wrong)


def test_one_sided_and_equivalence_tests_agree_with_statsmodels():
    values = np.random.default_rng(5).normal(0.3, 1, 20)
    summary = DescrStatsW(values)
    test = inference.t_test(values.mean(), summary.std_mean, 19)
    assert test.p_at_least(0.9) == pytest.approx(summary.ttest_mean(0.9, "smaller")[1])
    assert test.p_equivalent(0.9) == pytest.approx(summary.ttost_mean(-0.9, 0.9)[0])
    assert inference.mean_test(values).p_at_least(0.9) == pytest.approx(test.p_at_least(0.9))
    assert test.p_equivalent(test.equivalent_within) == pytest.approx(0.05)
    negative, positive = (inference.t_test(estimate, 0.2, 19).p_equivalent(0.9) for estimate in (-0.3, 0.3))
    assert negative == pytest.approx(positive)
    none = inference.t_test(0.01, 0.0, 3)  # nothing varies
    assert (none.p_at_least(0.02), none.p_at_least(0.005), none.equivalent_within) == (0, 1, 0.01)


def test_equivalence_power_agrees_with_simulation():
    standard_error, df, margin_, trials = 0.0035, 16, 0.01, 40_000
    draw = np.random.default_rng(8)
    estimate = draw.normal(0, standard_error, trials)
    reach = margin_ - stats.t.isf(0.05, df) * standard_error * np.sqrt(draw.chisquare(df, trials) / df)
    power = inference.equivalence_power(standard_error, df, margin_)
    assert (abs(estimate) < reach).mean() == pytest.approx(power, abs=margin(power, trials))


def test_one_run_each_on_other_images_keeps_what_seeds_contribute(committed):
    analysis = inference.obuchowski_rockette(committed)
    seeds, images = analysis.ms_interaction - analysis.ms_error, analysis.ms_error
    assert seeds > 0 and analysis.cov2 < analysis.cov3
    standard_error, df = analysis.of_one_run()
    assert standard_error == pytest.approx(analysis.with_seeds()[0] * np.sqrt(committed.shape[1]))
    assert df == analysis.with_seeds()[1]
    assert analysis.of_one_run(0.25)[0] == pytest.approx(np.sqrt(2 * (seeds + images / 4)))


def test_pooling_is_doubtful_where_one_network_varies_most():
    for sds, least, most in ((np.r_[np.full(5, 0.005), 0.06], 7, 8), (0.005, 0, 2)):
        studies = [draw_study(np.random.default_rng(seed), 6, 5, sds) for seed in range(8)]
        assert least <= sum(inference.obuchowski_rockette(one).pooling_doubtful for one in studies) <= most


@pytest.mark.parametrize(
    ("networks", "seeds", "seed_sd", "clustered"),
    [(2, 2, 0.0, 1), (2, 3, 0.03, 1), (8, 3, 0.0, 1), (8, 3, 0.01, 1), (4, 3, 0.01, 10)],
)
def test_the_comparison_keeps_its_error_rates(networks, seeds, seed_sd, clustered):
    """The small version of benchmarks/simulate_inference.py, whose table docs/inference.md shows."""
    settings = {"images": 700, "images_a_cluster": clustered, "known_clusters": clustered > 1}
    found = error_rates(300, networks, seeds, seed_sd, **settings)
    assert found["coverage"] > 0.95 - margin(0.95, 300)
    assert found["family_wise_error"] < 0.05 + margin(0.05, 300)
