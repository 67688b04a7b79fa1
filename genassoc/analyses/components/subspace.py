"""Leading eigenvectors of a relationship matrix K from its products with thin matrices: a block Krylov space, grown until it is enough.

Each pass over the genotypes multiplies K with one block of orthonormal columns; the space of all blocks holds the best approximation
(Rayleigh and Ritz), and the next block is what K does to that beyond the space: its residuals. From a random first block this is the randomised
block Krylov method (Rokhlin, Szlam and Tygert 2009; Halko, Martinsson, Shkolnisky and Tygert 2011; Musco and Musco 2015): as many products as
the power iterations of FastPCA (Galinsky et al. 2016), which PLINK 2 uses, and an error that falls with the square root of the gap.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Float32Array, Float64Array

# A residual below this share of the largest eigenvalue is rounding: products are of float32, whose relative error, 6e-8 times the root of the
# samples that are summed, stays below it up to a million samples.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Ritz:
    """The best approximations within a space, the largest eigenvalues first.

    Attributes
    ----------
    values : float64 array (J,)
        Ritz values.
    vectors : float64 array (n, m)
        Ritz vectors of the leading m.
    residuals : float64 array (n, m)
        ``K v - value v``.
    weights : float64 array (J,)
        Of each Ritz value, the squared length of its vector within the random first block: the nodes and weights of the Gauss quadrature with which
        traces of functions of K are estimated (Golub and Meurant 2010). They sum to the columns of the first block.
    """

    values: Float64Array
    vectors: Float64Array
    residuals: Float64Array
    weights: Float64Array

    @property
    def norms(self) -> Float64Array:
        """Lengths of the residuals, (m,)."""
        return np.asarray(np.sqrt((self.residuals**2).sum(axis=0)))

    def angles(self) -> Float64Array:
        """Bounds of the sine of the angle between the space of the first 1, 2, ... vectors and the eigenvectors', (m,); at most 1.

        ``|residuals| / gap`` to the next Ritz value (Davis and Kahan 1970); that of the last vector needs one beyond it.
        """
        m = self.vectors.shape[1]
        norms = np.sqrt(np.cumsum((self.residuals**2).sum(axis=0)))
        following = np.append(self.values, 0.0)[1 : m + 1]
        gaps = np.maximum(self.values[:m] - following, 0.0)
        bounds = np.ones(m)
        np.divide(norms, gaps, out=bounds, where=gaps > norms)
        return bounds


def first_block(n: int, columns: int, seed: int) -> Float32Array:
    """Random orthonormal columns (n, columns), the same for a seed."""
    drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal((n, columns))
    return np.linalg.qr(drawn)[0].astype(np.float32)


def ritz(basis: Float32Array, products: Float64Array, n_vectors: int, first: int) -> Ritz:
    """Rayleigh and Ritz: eigenvectors of K within the space of ``basis`` (n, J), from ``products`` (n, J) = K basis.

    ``n_vectors`` leading vectors are made (all, if there are fewer); ``first`` are the columns of the random first block.
    """
    wide = basis.astype(np.float64)
    small = wide.T @ products
    values, coordinates = np.linalg.eigh(0.5 * (small + small.T))
    values, coordinates = values[::-1], coordinates[:, ::-1]
    leading = coordinates[:, : min(n_vectors, values.size)]
    vectors = wide @ leading
    residuals = products @ leading - vectors * values[: leading.shape[1]]
    return Ritz(values, vectors, residuals, (coordinates[:first] ** 2).sum(axis=0))


def next_block(basis: Float32Array, found: Ritz, columns: int) -> Float32Array:
    """Orthonormal columns (n, at most ``columns``) of the residuals beyond the space; none where the space is all, or K does not leave it."""
    n, held = basis.shape
    wanted = min(columns, n - held)
    if wanted < 1:
        return np.empty((n, 0), dtype=np.float32)
    fresh = found.residuals[:, :wanted]
    fresh = fresh[:, np.sqrt((fresh**2).sum(axis=0)) > _ROUNDING * found.values[0]]
    for _ in range(2):  # the second time for what rounding left of the space
        if not fresh.size:
            return np.empty((n, 0), dtype=np.float32)
        fresh = fresh - basis @ (basis.T @ fresh)
        fresh = np.linalg.qr(fresh)[0]
    return np.asarray(fresh, dtype=np.float32)


def signs(vectors: Float64Array) -> Float64Array:
    """1 or -1 for each column (n, k), by which its third moment becomes positive: it depends on neither alleles nor the order of samples.

    Where the third moment is nothing but rounding, the largest entry becomes positive.
    """
    cubes = (vectors**3).sum(axis=0)
    size = (np.abs(vectors) ** 3).sum(axis=0)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return np.where(np.where(np.abs(cubes) > 1e-6 * size, cubes, largest) < 0.0, -1.0, 1.0)
