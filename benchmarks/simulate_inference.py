"""Simulate the error rates of comparison and contrasts: coverage of intervals and levels of tests, under the null.

Run: python benchmarks/simulate_inference.py [--studies 500]. It writes figure and table of docs/inference.md.

An image is classified correctly where its easiness, the network's own fit to it, the run's seed effect and noise
add up to more than 0, so that 64 % are. Every network is equally accurate in expectation: all differences are 0.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib.analysis.inference import obuchowski_rockette
from fer_lib.figures.style import PALETTE, QUIET, new_figure

IMAGES, ACCURACY = 1432, 0.64
# Shares of the latent variance, so that runs agree on images as those of outputs/fer2013_grid do.
EASINESS, OWN_FIT = 0.80, 0.04
FIGURE, TABLE = (Path(__file__).parents[1] / "docs" / f"error-rates.{kind}" for kind in ("png", "csv"))


def draw_study(rng, networks, seeds, seed_sds, images_a_cluster=1, own_fit=OWN_FIT, images=IMAGES):
    """Return which images are classified correctly, bool `(networks, seeds, images)`.

    Args:
        rng: NumPy `Generator`.
        seed_sds: standard deviation of the accuracy over seeds, of each network or of all, a fraction.
        images_a_cluster: so many images in a row share their easiness and own fit, as those of one subject do.
        own_fit: share of the latent variance that is the network's own for each image, whatever the seed.
    """
    threshold = stats.norm.ppf(ACCURACY)
    clusters = np.arange(images) // images_a_cluster
    easiness = np.sqrt(EASINESS) * rng.standard_normal(clusters[-1] + 1)[clusters]
    fit = np.sqrt(own_fit) * rng.standard_normal((networks, 1, clusters[-1] + 1))[..., clusters]
    sds = np.broadcast_to(seed_sds, networks) / stats.norm.pdf(threshold)  # in latent units
    luck = sds[:, None, None] * rng.standard_normal((networks, seeds, 1))
    noise = rng.standard_normal((networks, seeds, images), dtype="float32")
    return threshold + easiness + fit + luck + np.sqrt(1 - EASINESS - own_fit) * noise > 0


def error_rates(studies, networks, seeds, seed_sds, seed=0, known_clusters=False, **settings):
    """Return shares of the simulated studies: coverage, errors, doubts; and the mean half width of an interval.

    `coverage` and `least_coverage` (of the least covered network) are of 95 % CIs of differences to the first
    network, `contrast_coverage` of the mean of all others minus the first; `family_wise_error` at 5 % after Holm;
    `one_sided_error`, the share in which a contrast of 0 or more, the truth, is excluded: the level of an
    equivalence test. Arguments as for `draw_study`; with `known_clusters` the analysis is told of the clusters.
    """
    rng, covered, widths, false_findings, doubtful = np.random.default_rng(seed), [], [], 0, 0
    weights, contrasts = np.r_[-1.0, np.full(networks - 1, 1 / (networks - 1))], []
    for _ in range(studies):
        correct = draw_study(rng, networks, seeds, seed_sds, **settings)
        clusters = np.arange(correct.shape[2]) // settings["images_a_cluster"] if known_clusters else None
        analysis = obuchowski_rockette(correct, clusters)
        tests = [analysis.difference(0, other) for other in range(1, networks)]
        covered.append([test.low <= 0 <= test.high for test in tests])
        widths.append((tests[0].high - tests[0].low) / 2)
        false_findings += min(test.p_value for test in tests) * len(tests) < 0.05  # Holm's first step
        doubtful += analysis.pooling_doubtful
        contrast = analysis.contrast(weights)
        contrasts.append((contrast.low <= 0 <= contrast.high, contrast.p_at_least(0) < 0.05))
    return {
        "coverage": np.mean(covered),
        "least_coverage": np.mean(covered, axis=0).min(),
        "family_wise_error": false_findings / studies,
        "half_width": np.mean(widths),
        "pooling_doubtful": doubtful / studies,
        **dict(zip(("contrast_coverage", "one_sided_error"), np.mean(contrasts, axis=0).tolist(), strict=True)),
    }


def scenarios():
    """Yield (description, arguments of `error_rates`)."""
    for networks in (2, 5, 8):
        for seeds in (2, 3, 5, 10):
            for sd in (0.0, 0.01, 0.03):
                yield "equal", {"networks": networks, "seeds": seeds, "seed_sds": sd}
    for networks, seeds in ((2, 3), (8, 2), (8, 3), (8, 10)):
        sds = np.r_[np.full(networks - 1, 0.01), 0.01 * np.sqrt(5)]
        yield "one network with five times the seed variance", {
            "networks": networks, "seeds": seeds, "seed_sds": sds,
        }  # fmt: skip
        settings = {"networks": networks, "seeds": seeds, "seed_sds": 0.01}
        yield "no network x image effect", settings | {"own_fit": 0.0}
        clusters = settings | {"images_a_cluster": 10}
        yield "clusters of 10 images, ignored", clusters
        yield "clusters of 10 images, analysed as such", clusters | {"known_clusters": True}


def draw_rates(table):
    """Draw error rates at their nominal 5 % against the number of seeds, one colour per number of networks."""
    figure, panels = new_figure(3.2, columns=3, sharey=True)
    errors = {
        "95 % CI of a difference": 1 - table["coverage"],
        "95 % CI of a contrast of means": 1 - table["contrast_coverage"],
        "family-wise, Holm": table["family_wise_error"],
    }  # fmt: skip
    equal = table["setting"] == "equal"
    for axes, (words, values) in zip(panels, errors.items(), strict=True):
        for (networks, own), colour in zip(table[equal].groupby("networks"), PALETTE.values(), strict=False):
            places = own["seeds"] + 0.12 * (own["sd"] * 100 - 1)  # SDs of 0, 1 and 3 pp beside one another
            axes.plot(
                places, 100 * values[own.index], "o", color=colour, markersize=3, label=f"{networks} networks"
            )
        axes.axhline(5, color=QUIET, linestyle=":", linewidth=1.2)  # nominal
        axes.set(title=words, xlabel="seeds", xticks=[2, 3, 5, 10], ylim=(0, 8))
    panels[0].set_ylabel("error rate (%)")
    panels[0].legend(loc="lower right")
    return figure


def main():
    """Write the table of all scenarios, and the figure of those with equal networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500, help="simulated studies per scenario")
    studies, rows = parser.parse_args().studies, []
    for words, settings in scenarios():
        row = {"setting": words, "networks": settings["networks"], "seeds": settings["seeds"]}
        row |= {"sd": float(np.min(settings["seed_sds"])), **error_rates(studies, **settings)}
        rows.append(row)
        print(row, flush=True)
    table = pd.DataFrame(rows)
    table.round(4).to_csv(TABLE, index=False)
    draw_rates(table).savefig(FIGURE, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
