"""How sure a number is: intervals, paired tests and power. Arrays in, small results out.

Two things vary: which images happen to be in the test set, and which network a seed happens to give. Functions on
one network (`wilson_interval`, `bootstrap_interval`, `mcnemar`) know the first alone, `over_seeds` the second
alone, `crossed_mean` both.
"""

import inspect
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence limits, in the unit of the estimate."""

    estimate: float
    low: float
    high: float


def wilson_interval(correct, n, level=0.95):
    """Wilson's score interval of a proportion (Wilson 1927).

    Args:
        correct: images that were right.
        n: images in all. With `n=0` (a class without images) the three numbers are NaN.
        level: confidence level.

    Returns:
        An `Interval` of fractions.
    """
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    limits = stats.binomtest(int(correct), int(n)).proportion_ci(level, method="wilson")
    return Interval(int(correct) / int(n), float(limits.low), float(limits.high))


def clustered_mean(values, clusters, level=0.95):
    """Mean of values that come in clusters, such as the pictures of one person, with a t interval over clusters.

    The variance is that of survey statistics for a ratio (Cochran 1977, section 6.3; Liang and Zeger 1986):
    G / (G - 1) times the sum over clusters of their summed residuals squared, over n squared. Clusters are taken
    for independent, their pictures are not.

    Args:
        values: `(n,)`, such as whether each picture was right, or by how much one network beats another on it.
        clusters: `(n,)`, the cluster of each.
        level: confidence level.

    Returns:
        An `Interval` in the unit of the values; NaN limits with a single cluster.
    """
    values, clusters = np.asarray(values, dtype=float), np.asarray(clusters)
    if values.shape != clusters.shape or values.ndim != 1 or not values.size:
        raise ValueError(f"Both must be (n,) over the same images. Received: {values.shape}, {clusters.shape}")
    mean = values.mean()
    _, which = np.unique(clusters, return_inverse=True)
    sums = np.bincount(which, weights=values - mean)
    groups = len(sums)
    if groups < 2:
        return Interval(float(mean), np.nan, np.nan)
    error = np.sqrt(groups / (groups - 1) * (sums**2).sum()) / values.size
    margin = float(stats.t.ppf((1 + level) / 2, groups - 1) * error)
    return Interval(float(mean), float(mean) - margin, float(mean) + margin)


def bootstrap_interval(metric, *arrays, level=0.95, method="BCa", resamples=2000, seed=0):
    """Bootstrap interval over images for any metric.

    Args:
        metric: `metric(*arrays) -> float`. Where it takes `axis`, the resamples are worked
            out together.
        arrays: arrays whose first axis is the images; an image's entries stay together.
        level: confidence level.
        method: `"BCa"` (bias-corrected and accelerated, Efron 1987) or `"percentile"`. BCa has no answer (NaN,
            with SciPy's warning) where leaving out any one image changes nothing, as at accuracy 1.
        resamples: number of resamples.
        seed: of the random numbers.

    Returns:
        An `Interval` in the metric's unit.
    """
    arrays = [np.asarray(array) for array in arrays]
    n = len(arrays[0])
    if any(len(array) != n for array in arrays):
        raise ValueError(f"All arrays must be of one length. Received: {[len(array) for array in arrays]}")
    vectorised = "axis" in inspect.signature(metric).parameters

    # Resampling positions instead of values keeps labels and predictions of an image together, in any shape.
    def on_resample(positions, axis=-1):
        chosen = [array[positions] for array in arrays]
        return metric(*chosen, axis=axis) if vectorised else metric(*chosen)

    found = stats.bootstrap(
        (np.arange(n),),
        on_resample,
        n_resamples=resamples,
        batch=max(1, 2**21 // n),  # about 2 million positions in memory at a time
        vectorized=vectorised,
        confidence_level=level,
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(metric(*arrays)), float(found.low), float(found.high))


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same images.

    Attributes:
        n: images.
        only_first: images that the first alone has right (b of the 2 x 2 table).
        only_second: images that the second alone has right (c).
        difference: accuracy of the second minus that of the first, a fraction.
        low, high: Tango's interval of the difference.
        p_value: exact, two-sided.
    """

    n: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def discordance(self):
        """Fraction of the images on which one is right and the other wrong."""
        return (self.only_first + self.only_second) / self.n


def mcnemar(first_correct, second_correct, level=0.95):
    """Exact McNemar test: among images that one network alone has right, is each as often the one?

    It judges these two networks on images like these; it knows nothing of how another seed would have come out.

    Args:
        first_correct, second_correct: bool `(n,)`, the same images in the same order.
        level: confidence level of the interval.

    Returns:
        A `McNemar`.
    """
    first, second = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"Both must be (n,) over the same images. Received: {first.shape}, {second.shape}")
    n, b, c = first.size, int((first & ~second).sum()), int((~first & second).sum())
    interval = tango_interval(b, c, n, level)
    p_value = float(stats.binomtest(c, b + c, 0.5).pvalue) if b + c else 1.0
    return McNemar(n, b, c, interval.estimate, interval.low, interval.high, p_value)


def tango_interval(only_first, only_second, n, level=0.95):
    """Score interval of the difference of two paired proportions (Tango 1998, Statistics in Medicine 17:891).

    All differences that the score test does not reject, so it agrees with McNemar's (asymptotic) test about zero,
    and keeps its coverage where a Wald interval loses it (Fagerland, Lydersen, Laake 2014).

    Args:
        only_first, only_second: counts b and c of the discordant images.
        n: images in all.
        level: confidence level.

    Returns:
        An `Interval` of fractions, second minus first.
    """
    b, c, z = only_first, only_second, stats.norm.isf((1 - level) / 2)

    def score(delta):
        """(found - delta) over its standard error, the discordance at its likeliest under `delta`."""
        linear = -b - c + (2 * n - c + b) * delta
        likeliest_b = (np.sqrt(linear**2 + 8 * n * b * delta * (1 - delta)) - linear) / (4 * n)
        variance = n * (2 * likeliest_b + delta * (1 - delta))
        return (c - b - n * delta) / np.sqrt(variance)

    estimate, edge = (c - b) / n, 1 - 1e-12
    # The score falls from large to small over -1..1; where it does not reach z, the limit is the end itself.
    low = -1.0 if c - b == -n else optimize.brentq(lambda delta: score(delta) - z, -edge, estimate - 1e-12)
    high = 1.0 if c - b == n else optimize.brentq(lambda delta: score(delta) + z, estimate + 1e-12, edge)
    return Interval(estimate, float(low), float(high))


@dataclass(frozen=True)
class OverSeeds:
    """Mean over seeds. With one seed `sd`, `low`, `high` are NaN: one run says nothing of the next."""

    seeds: int
    mean: float
    sd: float
    low: float
    high: float


def over_seeds(values, level=0.95):
    """Mean, standard deviation (n - 1) and Student's t interval over seeds, the images held fixed.

    Args:
        values: float `(seeds,)`: an accuracy, or a variant's accuracy minus the baseline's at the same seed.
        level: confidence level.

    Returns:
        An `OverSeeds`.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"`values` must be (seeds,) with at least one. Received: shape {values.shape}")
    n, mean = values.size, float(values.mean())
    if n == 1:
        return OverSeeds(1, mean, np.nan, np.nan, np.nan)
    sd = float(values.std(ddof=1))
    margin = float(stats.t.isf((1 - level) / 2, n - 1)) * sd / np.sqrt(n)
    return OverSeeds(n, mean, sd, mean - margin, mean + margin)


@dataclass(frozen=True)
class CrossedMean:
    """A mean over seeds and images, both taken as samples.

    Attributes:
        estimate, low, high: the mean and its interval.
        p_value: two-sided, of the mean being 0.
        standard_error: of the mean.
        df: degrees of freedom of its t distribution (Hillis 2007).
    """

    estimate: float
    low: float
    high: float
    p_value: float
    standard_error: float
    df: float


def crossed_mean(values, level=0.95):
    """What another draw of seeds and of images would give: t interval and test of a crossed two-way design.

    Every seed meets every image, as every reader meets every case in radiology, where this analysis comes from
    (Obuchowski and Rockette 1995; degrees of freedom of Hillis 2007, Statistics in Medicine 26:596). From the mean
    squares of seeds (S), images (I) and their interaction (E):
    `variance = (max(S, E) + max(I - E, 0)) / (seeds * images)`.
    S is kept from falling below E, because a seed effect cannot have a negative variance; with few seeds that is
    what holds the error rate. Resampling seeds and images (the "pigeonhole" bootstrap, Owen 2007) needs no normal
    theory but sees too little of the spread of 2 to 5 seeds: with three, it calls a difference that is none
    significant in about a sixth of the studies if seeds differ by three points (`tests/test_statistics.py`).

    Args:
        values: float `(seeds, images)`, at least 2 x 2: 1 where right, 0 where wrong, or a variant's minus the
            baseline's.
        level: confidence level.

    Returns:
        A `CrossedMean`.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"`values` must be (seeds, images), at least 2 of each. Received: {values.shape}")
    seeds, images = values.shape
    mean, of_seed, of_image = values.mean(), values.mean(1), values.mean(0)
    residual = values - of_seed[:, None] - of_image + mean
    square_error = (residual**2).sum() / ((seeds - 1) * (images - 1))
    square_seeds = max(images * of_seed.var(ddof=1), square_error)
    square_images = max(seeds * of_image.var(ddof=1) - square_error, 0)
    total = square_seeds + square_images
    if total == 0:  # no variation at all, as between two identical networks
        return CrossedMean(float(mean), float(mean), float(mean), float(mean == 0), 0.0, np.inf)
    df = (seeds - 1) * (total / square_seeds) ** 2 if square_seeds else np.inf
    standard_error = np.sqrt(total / values.size)
    margin = stats.t.isf((1 - level) / 2, df) * standard_error
    p_value = 2 * stats.t.sf(abs(mean) / standard_error, df)
    return CrossedMean(*map(float, (mean, mean - margin, mean + margin, p_value, standard_error, df)))


def holm(p_values):
    """P-values corrected for their number (Holm 1979): the chance of one false alarm among all stays below alpha.

    Args:
        p_values: float `(k,)`.

    Returns:
        float64 `(k,)` in the same order; compare each with alpha itself.
    """
    p_values = np.asarray(p_values, dtype=float)
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"`p_values` must lie in 0..1. Received: {p_values}")
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(p_values.size, 0, -1)
    adjusted = np.empty(p_values.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def mcnemar_power(n, discordance, difference, alpha=0.05):
    """Chance that the exact McNemar test finds a true difference.

    Args:
        n: images.
        discordance: fraction of images on which exactly one of the two networks is right.
        difference: true difference of accuracy, a fraction, at most `discordance` in size.
        alpha: significance level.

    Returns:
        The exact power, a float: over every count of discordant images, and every way these can fall.
    """
    if not 0 <= abs(difference) <= discordance <= 1:
        raise ValueError(
            f"Must be 0 <= |difference| <= discordance <= 1. Received: {difference} and {discordance}"
        )
    if discordance == 0:
        return 0.0
    discordant = np.arange(n + 1)
    # The test rejects where the smaller of b and c is at most `limit`; -1 where nothing is extreme enough.
    limit = stats.binom.ppf(alpha / 2, discordant, 0.5)
    limit -= stats.binom.cdf(limit, discordant, 0.5) > alpha / 2
    share = (discordance + abs(difference)) / (2 * discordance)
    rejected = stats.binom.cdf(limit, discordant, share)
    rejected += stats.binom.sf(discordant - limit - 1, discordant, share)
    return float(stats.binom.pmf(discordant, n, discordance) @ rejected)


def smallest_detectable_difference(n, discordance, power=0.8, alpha=0.05):
    """The true difference that the exact McNemar test finds with the stated power.

    Args as for `mcnemar_power`. Returns a fraction; NaN where even a difference as large as `discordance` would
    be missed too often.
    """

    def lacking(difference):
        return mcnemar_power(n, discordance, difference, alpha) - power

    if lacking(discordance) < 0:
        return np.nan
    return float(optimize.brentq(lacking, 0, discordance, xtol=1e-6))


def detectable_difference(standard_error, df, power=0.8, alpha=0.05):
    """The true difference that a t test with this standard error finds with the stated power (textbook sum).

    NaN at standard error 0: networks that never disagreed say nothing of how much others would.
    """
    if standard_error == 0:
        return np.nan
    return float((stats.t.isf(alpha / 2, df) + stats.t.ppf(power, df)) * standard_error)
