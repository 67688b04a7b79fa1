"""What eigenvalues of a relationship matrix tell: how many stand above noise, and by how much projected scores shrink."""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Float64Array

# Quantiles of the Tracy-Widom law of order 1 (Bejan 2005, table 1; Patterson, Price and Reich 2006).
TRACY_WIDOM = {0.05: 0.9793, 0.01: 2.0234, 0.001: 3.2724}


@dataclass(frozen=True)
class Spectrum:
    """What is known of all eigenvalues: the leading ones, and of the rest, nodes with how many eigenvalues each stands for.

    Attributes
    ----------
    leading : float64 array (k,)
        Descending.
    nodes : float64 array (R,)
        Of the others.
    multiplicities : float64 array (R,)
        They sum to the number of the others, those that are zero included.
    spread_error : float
        Relative standard error of the variance of the others; 0 where all are known.
    """

    leading: Float64Array
    nodes: Float64Array
    multiplicities: Float64Array
    spread_error: float = 0.0

    @classmethod
    def of_all(cls, values: Float64Array, k: int) -> "Spectrum":
        """From all eigenvalues, descending."""
        rest = np.maximum(values[k:], 0.0)
        return cls(values[:k], rest, np.ones(rest.size))

    @classmethod
    def of_quadrature(cls, values: Float64Array, weights: Float64Array, k: int, n: int, total: float) -> "Spectrum":
        """From the nodes and weights (J,) of a quadrature of an n x n matrix, whose leading k are eigenvalues, and its trace.

        The weights of the others are scaled to their number, ``n - k``, and the nodes then to their sum, which is known exactly. What is left of
        chance in their variance is that of a mean over the entries of the random start, ``sqrt(2 kurtosis / entries)``.
        """
        nodes, rest = np.maximum(values[k:], 0.0), weights[k:]
        if not rest.sum() > 0.0:
            return cls(values[:k], nodes, np.zeros(nodes.size))
        multiplicities = rest * (n - k) / rest.sum()
        mean = max(total - float(values[:k].sum()), 0.0) / max(n - k, 1)
        found = float(multiplicities @ nodes) / max(n - k, 1)
        if found > 0.0:
            nodes = np.minimum(nodes * (mean / found), values[k - 1])
        error = 0.0
        if values.size < n:
            squares, fourths = ((multiplicities @ (nodes - mean) ** power) / (n - k) for power in (2, 4))
            error = float(np.sqrt(2.0 * fourths / max(squares, 1e-300) ** 2 / (n * weights.sum())))
        return cls(values[:k], nodes, multiplicities, error)

    def tracy_widom(self) -> Float64Array:
        """Statistic of each leading eigenvalue as the largest of those that follow, (k,): Tracy-Widom of order 1 where all are noise.

        Patterson, Price and Reich (2006): the effective number of variants is of the spread of the eigenvalues that are left, so
        that linkage disequilibrium widens the noise. Where the spread is an estimate, it is taken to be two standard errors larger: the statistic
        errs to the side of noise.
        """
        k = self.leading.size
        n = k + self.multiplicities.sum()
        statistics = np.full(k, np.nan)
        for i in range(k):
            m = n - i - 1  # one is zero, since the scores are centred
            total = self.leading[i:].sum() + self.multiplicities @ self.nodes
            squares = (self.leading[i:] ** 2).sum() + self.multiplicities @ self.nodes**2
            spread = (m * squares - total**2) * (1.0 + 2.0 * self.spread_error)
            if m < 3 or total <= 0.0 or spread <= 0.0:
                continue
            variants = (m + 2.0) * total**2 / spread  # the moments of a Wishart matrix of m dimensions
            if variants <= 1.0:
                continue
            ratio = m * self.leading[i] / total
            root = np.sqrt(variants - 1.0) + np.sqrt(m)
            centre = root**2 / variants
            width = root / variants * (1.0 / np.sqrt(variants - 1.0) + 1.0 / np.sqrt(m)) ** (1.0 / 3.0)
            statistics[i] = (ratio - centre) / width
        return statistics

    def above_noise(self, level: float = 0.01) -> int:
        """How many leading eigenvalues stand above noise: those in front of the first that does not, at a `TRACY_WIDOM` level."""
        below = ~(self.tracy_widom() > TRACY_WIDOM[level])
        return int(below.argmax()) if below.any() else int(below.size)

    def shrinkage(self) -> Float64Array:
        """By which factor scores of new samples, projected by the loadings, are too small, (k,), each at most 1.

        A sample of the fit pulls its own components: with the relationship matrix K of the fit, the score of a sample among those fitted is
        ``lambda / D`` times what the loadings would give had it been left out, where ``1 / D`` is its diagonal element of
        ``inv(lambda - K)`` without the leading part (a Schur complement). On average over the n samples

            factor = mean D / lambda = n / (lambda trace inv(lambda - K_rest)).

        For independent variants this is the limit of Lee, Zou and Wright (2010), and for correlated ones that of Dey and Lee (2019), by the
        eigenvalues as they are in place of a law for them. A component within noise has neighbours as near as chance has put them, and nodes stand
        for several: no gap counts as less than the spacing of eigenvalues at the edge of noise, the share ``n^(-2/3)``.
        """
        n = self.leading.size + self.multiplicities.sum()
        gaps = self.leading[:, None] - self.nodes
        least = np.maximum(self.leading, 1e-300)[:, None] * n ** (-2.0 / 3.0)
        trace = (self.multiplicities / np.maximum(gaps, least)).sum(axis=1)
        own = self.leading.size / np.maximum(
            self.leading, 1e-300
        )  # directions of the components themselves, without the leading part
        return np.minimum(n / (self.leading * (trace + own)), 1.0)
