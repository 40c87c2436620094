"""Seeds crossed with test examples, with a known truth: a probit model of right and wrong."""

import numpy as np
from scipy.special import ndtr

from cnnjax.study.stats import Sample


def truth(mean, seed, shared=1.0, cluster=0.7, own=0.5):
    """The accuracy over all seeds and examples: Φ(mean / the latent standard deviation)."""
    return float(ndtr(mean / np.sqrt(1 + seed**2 + shared**2 + cluster**2 + own**2)))


def points(rng, means, seeds, seed=0.1, examples=300, size=3, shared=1.0, cluster=0.7, own=0.5):
    """A sample a mean. A net is right where mean + seed's effect + the example's + its original's
    + what this net makes of it + noise is above zero; all numbers but the mean are standard
    deviations."""
    originals = np.arange(examples) // size
    each = shared * rng.normal(size=examples)
    each += cluster * rng.normal(size=originals[-1] + 1)[originals]
    found = []
    for mean in means:
        latent = mean + each + own * rng.normal(size=examples)
        latent = latent + seed * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, examples))
        right = latent > 0
        found.append(Sample(tuple(right.mean(1)), right, originals))
    return found
