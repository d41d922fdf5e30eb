"""Simulate the error rates of the comparison: coverage of its intervals and family-wise error, under the null.

Run: python benchmarks/simulate_inference.py [--studies 500]. It prints the table of docs/inference.md.

An image is classified correctly where its easiness, the network's own fit to it, the run's seed effect and noise
add up to more than 0, so that 64 % are. Every network is equally accurate in expectation: all differences are 0.
"""

import argparse

import numpy as np
from scipy import stats

from fer_lib.analysis.inference import obuchowski_rockette

IMAGES, ACCURACY = 1432, 0.64
# Shares of the latent variance, so that runs agree on images as those of outputs/fer2013_grid do.
EASINESS, OWN_FIT = 0.80, 0.04
COLUMNS = (
    "setting", "networks", "seeds", "SD over seeds (pp)", "coverage (%)", "least covered network (%)",
    "family-wise error (%)", "half width (pp)", "pooling doubtful (%)",
)  # fmt: skip


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
    """Return coverage of the 95 % CIs, the least covered network's, family-wise error, mean half width, doubts.

    Arguments as for `draw_study`; with `known_clusters` the analysis is told of the clusters.
    """
    rng, covered, widths, false_findings, doubtful = np.random.default_rng(seed), [], [], 0, 0
    for _ in range(studies):
        correct = draw_study(rng, networks, seeds, seed_sds, **settings)
        clusters = np.arange(correct.shape[2]) // settings["images_a_cluster"] if known_clusters else None
        analysis = obuchowski_rockette(correct, clusters)
        tests = [analysis.difference(0, other) for other in range(1, networks)]
        covered.append([test.low <= 0 <= test.high for test in tests])
        widths.append((tests[0].high - tests[0].low) / 2)
        false_findings += min(test.p_value for test in tests) * len(tests) < 0.05  # Holm's first step
        doubtful += analysis.pooling_doubtful
    return {
        "coverage": np.mean(covered),
        "least_coverage": np.mean(covered, axis=0).min(),
        "family_wise_error": false_findings / studies,
        "half_width": np.mean(widths),
        "pooling_doubtful": doubtful / studies,
    }


def scenarios():
    """Yield (description, arguments of `error_rates`)."""
    for networks in (2, 4, 8, 10):
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


def main():
    """Print one line a scenario, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500, help="simulated studies a scenario")
    studies = parser.parse_args().studies
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for words, settings in scenarios():
        sds = np.atleast_1d(settings["seed_sds"])
        found = error_rates(studies, **settings)
        row = [
            words,
            settings["networks"],
            settings["seeds"],
            f"{100 * sds.min():.0f}" if np.ptp(sds) == 0 else "1.0 and 2.2",
            *(f"{100 * found[name]:.1f}" for name in ("coverage", "least_coverage", "family_wise_error")),
            f"{100 * found['half_width']:.2f}",
            f"{100 * found['pooling_doubtful']:.1f}",
        ]
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
