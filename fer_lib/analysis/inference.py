"""Intervals, tests and power: arrays in, small results out, at 95 % and 5 % unless a `level` is given.

Two things vary: the images in the split and the network that a seed gives. `wilson_interval`, `mcnemar` and
`mean_test` treat images alone as random, `crossed_mean` and `obuchowski_rockette` treat both so.
docs/inference.md has the model, the formulas and a simulation of their error rates.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence limits, in the unit of the estimate."""

    estimate: float
    low: float
    high: float

    def within_0_1(self) -> "Interval":
        """Return the interval of a proportion without what is below 0 or above 1."""
        return Interval(self.estimate, max(self.low, 0.0), min(self.high, 1.0))

    def columns(self, name: str, limits: str = "ci") -> dict:
        """Return a dict for a row of a table: `name`, `<limits>_low`, `<limits>_high`, a test's other fields."""
        renamed = {"estimate": name, "low": f"{limits}_low", "high": f"{limits}_high"}
        return {renamed.get(field, field): value for field, value in asdict(self).items()}


@dataclass(frozen=True)
class Test(Interval):
    """A t test of an estimate against 0: interval, standard error, degrees of freedom, two-sided p-value."""

    standard_error: float
    df: float
    p_value: float

    def p_at_least(self, margin: float) -> float:
        """Return the one-sided p of "the effect is `margin` or more"; below 0.05, such an effect is excluded."""
        excess = self.estimate - margin
        if self.standard_error == 0:  # nothing varies: a step at the margin
            return float(excess >= 0)
        return float(stats.t.cdf(excess / self.standard_error, self.df))

    def p_equivalent(self, margin: float) -> float:
        """Return the p of two one-sided tests (Schuirmann 1987) of "the effect is `margin` or more in size"."""
        return t_test(abs(self.estimate), self.standard_error, self.df).p_at_least(margin)

    @property
    def upper_limit(self) -> float:
        """The upper end of the one-sided interval: a larger effect is excluded."""
        return self.estimate + float(stats.t.isf(ALPHA, self.df) * self.standard_error)

    @property
    def equivalent_within(self) -> float:
        """The smallest margin at which `p_equivalent` is 0.05: the larger end of the 90 % CI."""
        return t_test(abs(self.estimate), self.standard_error, self.df).upper_limit


def wilson_interval(n_correct: int, n: int) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927); NaN where `n` is 0."""
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    limits = stats.binomtest(int(n_correct), int(n)).proportion_ci(method="wilson")
    return Interval(int(n_correct) / int(n), float(limits.low), float(limits.high))


def mcnemar(first_correct: ArrayLike, second_correct: ArrayLike, level: float = 0.95) -> Test:
    """Return the exact McNemar test of two runs, bool `(n,)`, with Tango's interval; of these seeds only.

    The estimate is the second's accuracy minus the first's; standard error and degrees of freedom are NaN.
    """
    first, second = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"Expected two arrays (n,) of the same images. Received: {first.shape}, {second.shape}")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    p_value = float(stats.binomtest(c, b + c, 0.5).pvalue) if b + c else 1.0
    interval = tango_interval(b, c, first.size, level)
    return Test(interval.estimate, interval.low, interval.high, np.nan, np.nan, p_value)


def tango_interval(only_first: int, only_second: int, n: int, level: float = 0.95) -> Interval:
    """Return the score interval of the difference of two paired proportions (Tango 1998, Stat. Med. 17:891).

    Second minus first, a fraction; of `n` images, `only_first` and `only_second` are correct in one network only.
    """
    b, c, z = only_first, only_second, stats.norm.isf((1 - level) / 2)

    def score(delta):
        """(estimate - delta) over its standard error, with the maximum-likelihood discordance under `delta`."""
        linear = -b - c + (2 * n - c + b) * delta
        likeliest_b = (np.sqrt(linear**2 + 8 * n * b * delta * (1 - delta)) - linear) / (4 * n)
        variance = n * (2 * likeliest_b + delta * (1 - delta))
        return (c - b - n * delta) / np.sqrt(variance)

    estimate, edge = (c - b) / n, 1 - 1e-12
    # The score falls over -1..1; where it does not reach z, the limit is the end itself.
    low = -1.0 if c - b == -n else optimize.brentq(lambda delta: score(delta) - z, -edge, estimate - 1e-12)
    high = 1.0 if c - b == n else optimize.brentq(lambda delta: score(delta) + z, estimate + 1e-12, edge)
    return Interval(estimate, float(low), float(high))


def crossed_mean(values: ArrayLike) -> Test:
    """Return the `Test` of the mean of values, `(seeds, images)`, at least 2 x 2, with both as random effects.

    This is `obuchowski_rockette` against a network whose accuracy is always 0: for one network, whose values are 1
    where an image is classified correctly, or for the difference of two without pooling.
    """
    values = np.asarray(values, dtype=float)
    return obuchowski_rockette([np.zeros_like(values), values]).difference(0, 1)


def t_test(estimate: float, standard_error: float, df: float, level: float = 0.95) -> Test:
    """Return the `Test` of an estimate with this standard error and degrees of freedom against 0."""
    if standard_error == 0:  # no variation at all, as between two identical networks
        return Test(*map(float, (estimate, estimate, estimate, 0.0, np.inf, estimate == 0)))
    margin = stats.t.isf((1 - level) / 2, df) * standard_error
    p_value = 2 * stats.t.sf(abs(estimate) / standard_error, df)
    return Test(*map(float, (estimate, estimate - margin, estimate + margin, standard_error, df, p_value)))


def mean_test(values: ArrayLike) -> Test:
    """Return the `Test` of the mean of values, `(n,)`, of one network or pair: only images are random."""
    values = np.asarray(values, dtype=float)
    return t_test(values.mean(), values.std(ddof=1) / np.sqrt(values.size), values.size - 1)


@dataclass(frozen=True, eq=False)
class ObuchowskiRockette:
    """All networks of a study in one analysis; seeds are the readers and images the cases of that literature."""

    accuracies: np.ndarray  # float, (networks, seeds)
    ms_interaction: float  # mean square of network x seed, pooled over the networks
    ms_error: float  # what images and noise contribute to it: variance - cov1 - cov2 + cov3
    cov1: float  # covariance over images of two accuracies: same seed, other network
    cov2: float  # same network, other seed
    cov3: float  # other network, other seed
    equal_variance_p: float  # Bartlett's test that all networks vary alike over seeds; NaN if one does not vary

    @property
    def pooling_doubtful(self) -> bool:
        """Whether the networks' variances over seeds differ significantly (5 %): pooling is not warranted."""
        return bool(self.equal_variance_p < ALPHA)

    def with_seeds(self, seeds: int | None = None) -> tuple[float, float]:
        """Return (standard error, df) of the difference of two networks with so many seeds (Hillis 2007)."""
        networks, own = self.accuracies.shape
        seeds = seeds or own
        # An interaction has no negative variance. Without this bound, 2 networks with 2 seeds are found to differ
        # in 12 % of the studies in which they do not (docs/inference.md).
        error_term = max(self.ms_interaction, self.ms_error)
        spread = error_term + seeds * max(self.cov2 - self.cov3, 0.0)
        df = (networks - 1) * (seeds - 1) * ((spread / error_term) ** 2 if error_term else np.inf)
        return float(np.sqrt(2 * spread / seeds)), float(df)

    def of_one_run(self, image_ratio: float = 1.0) -> tuple[float, float]:
        """Return (standard error, df) of the difference of two networks with one run each.

        `image_ratio` is the number of this study's images over that of the images to speak of: what images
        contribute scales with it, what seeds contribute does not.
        """
        seeds_only = max(self.ms_interaction - self.ms_error, 0.0)
        variance = seeds_only + image_ratio * (self.ms_error + max(self.cov2 - self.cov3, 0.0))
        return float(np.sqrt(2 * variance)), self.with_seeds()[1]

    def f_test(self) -> tuple[float, float]:
        """Return (F, p) of the hypothesis that all networks have the same accuracy; NaN if nothing varies."""
        (standard_error, df), means = self.with_seeds(), self.accuracies.mean(axis=1)
        f = 2 * means.var(ddof=1) / standard_error**2 if standard_error else np.nan
        return float(f), float(stats.f.sf(f, len(means) - 1, df))

    def contrast(self, weights: ArrayLike, level: float = 0.95) -> Test:
        """Return the `Test` of a sum of accuracies with weights, `(networks,)`, that sum to 0.

        Under the model the variance of c'x is c'c / 2 times that of a difference, with the same df.
        """
        weights = np.asarray(weights, dtype=float)
        if weights.shape != self.accuracies.shape[:1] or abs(weights.sum()) > 1e-9:
            raise ValueError(f"Expected {len(self.accuracies)} weights that sum to 0. Received: {weights}")
        standard_error, df = self.with_seeds()
        estimate = weights @ self.accuracies.mean(axis=1)
        return t_test(estimate, standard_error * np.sqrt(weights @ weights / 2), df, level)

    def difference(self, first: int, second: int, level: float = 0.95) -> Test:
        """Return the `Test` of the second network's accuracy minus the first's; both are row numbers."""
        networks = np.eye(len(self.accuracies))
        return self.contrast(networks[second] - networks[first], level)


def obuchowski_rockette(correct: ArrayLike, clusters: ArrayLike | None = None) -> ObuchowskiRockette:
    """Return the `ObuchowskiRockette` analysis of every network, seed and image.

    An accuracy is modelled as mean + network + seed + network x seed + error, the error covariances over images
    estimated from the 0/1 matrices (Obuchowski and Rockette 1995; Hillis 2007 and 2014, see docs/inference.md).

    Args:
        correct: bool `(networks, seeds, images)`, at least 2 of each; every network has the same seeds.
        clusters: `(images,)`, such as subjects, if images are not independent (Obuchowski 1997).
    """
    correct = np.asarray(correct, dtype=float)
    if correct.ndim != 3 or min(correct.shape) < 2:
        raise ValueError(f"Expected (networks, seeds, images), at least 2 of each. Received: {correct.shape}")
    networks, seeds, images = correct.shape
    accuracies = correct.mean(axis=2)
    residual = accuracies - accuracies.mean(1, keepdims=True) - accuracies.mean(0) + accuracies.mean()
    deviations = correct.reshape(-1, images) - accuracies.reshape(-1, 1)
    if clusters is not None:
        deviations = pd.DataFrame(deviations.T).groupby(np.asarray(clusters)).sum().to_numpy().T
    units = deviations.shape[1]
    covariance = (deviations @ deviations.T * units / (units - 1) / images**2).reshape(2 * accuracies.shape)
    network, seed = (np.eye(size, dtype=bool) for size in accuracies.shape)
    network, seed = network[:, None, :, None], seed[None, :, None, :]  # whether two accuracies share it
    pairs = (network & seed, ~network & seed, network & ~seed, ~network & ~seed)
    variance, cov1, cov2, cov3 = (float(covariance[pair].mean()) for pair in pairs)
    varies = (np.ptp(accuracies, axis=1) > 0).all()
    equal_variance_p = float(stats.bartlett(*accuracies).pvalue) if varies else np.nan
    ms_interaction = float((residual**2).sum() / ((networks - 1) * (seeds - 1)))
    ms_error = variance - cov1 - cov2 + cov3
    return ObuchowskiRockette(accuracies, ms_interaction, ms_error, cov1, cov2, cov3, equal_variance_p)


def minimum_detectable_effect(standard_error: float, df: float) -> float:
    """Return the true difference that a two-sided t test at 5 % detects with 80 % power (noncentral t).

    NaN at standard error 0: networks that never disagree say nothing about how much others would.
    """
    if standard_error == 0:
        return np.nan
    critical = stats.t.isf(ALPHA / 2, df)
    return float(special.nctdtrinc(df, 1 - POWER, critical) * standard_error)


def equivalence_power(standard_error: float, df: float, margin: float) -> float:
    """Return the probability that two one-sided t tests show two equal networks equivalent within `margin`."""
    if standard_error == 0:
        return float(margin > 0)
    # Averaged over the estimated standard error, which varies as chi.
    estimated = standard_error * np.sqrt(stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)
    reach = margin - stats.t.isf(ALPHA, df) * estimated
    return float(np.maximum(2 * stats.norm.cdf(reach / standard_error) - 1, 0).mean())
