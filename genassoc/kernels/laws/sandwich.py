"""Sandwich covariances of the coefficients of g and g e, and how many degrees of freedom their contrasts have.

Sample i adds u_i to the errors of the two estimates, so that ``V = sum u_i u_i'``. Under the model ``E_i = E[u_i u_i']``:
where few samples say much, V varies as if there were fewer of them. Of a contrast c, with ``q_i = c'E_i c`` (Bell & McCaffrey
2002, Survey Methodology 28:169) ::

    degrees = (sum q_i)^2 / sum q_i^2

Of both at once ``Q = theta'V^-1 theta`` is Hotelling's with eta degrees (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004),
S = sum E_i ::

    eta = 6 / sum_i [tr(S^-1 E_i)^2 + tr(S^-1 E_i S^-1 E_i)]      (eta - 1) / (2 eta) Q ~ F(2, eta - 1)

One degree is taken off for each coefficient that is tested.
"""

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.interaction_logistic import COVARIANCE, VAR_G, VAR_GE
from genassoc.shapes import Float64Array

SINGULAR_BELOW = 1e-12  # determinant of V over the product of its diagonal: below it one coefficient tells the other


@jit
def pair_variance(
    U: Float64Array, E: Float64Array, contrasts: Float64Array, most: float, row: Float64Array, freedom: Float64Array
) -> bool:
    """Fill the covariances of a row, and the degrees of freedom of its contrasts; whether V is positive definite.

    Parameters
    ----------
    U : float64 array (n, 2)
        What samples add to the errors of the coefficients of g and g e.
    E : float64 array (n, 3)
        The expectations of u_0^2, u_0 u_1 and u_1^2.
    contrasts : float64 array (K, 2)
        Of the coefficients of g and g e; zeros mean both at once, whose degrees are those of F's denominator.
    most : float
        Degrees of freedom are no more.
    row : float64 array (N_NUMBERS,)
        As of `genassoc.kernels.likelihoods.interaction_logistic`: VAR_G, COVARIANCE and VAR_GE are filled.
    freedom : float64 array (K,)
        Filled.
    """
    v00, v01, v11, s00, s01, s11 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(U.shape[0]):
        v00 += U[i, 0] * U[i, 0]
        v01 += U[i, 0] * U[i, 1]
        v11 += U[i, 1] * U[i, 1]
        s00 += E[i, 0]
        s01 += E[i, 1]
        s11 += E[i, 2]
    row[VAR_G], row[COVARIANCE], row[VAR_GE] = v00, v01, v11
    determinant = s00 * s11 - s01 * s01
    if not (v00 * v11 - v01 * v01 > SINGULAR_BELOW * v00 * v11 and determinant > SINGULAR_BELOW * s00 * s11):
        return False
    for k in range(contrasts.shape[0]):
        a, b = contrasts[k, 0], contrasts[k, 1]
        size, squares = 0.0, 0.0
        if a == 0.0 and b == 0.0:
            for i in range(U.shape[0]):
                trace = (s11 * E[i, 0] - 2.0 * s01 * E[i, 1] + s00 * E[i, 2]) / determinant
                # Of 2 x 2 matrices tr(A A) = tr(A)^2 - 2 det A.
                squares += 2.0 * trace * trace - 2.0 * (E[i, 0] * E[i, 2] - E[i, 1] * E[i, 1]) / determinant
            freedom[k] = max(1.0, min(6.0 / squares - 2.0, most) - 1.0)
            continue
        for i in range(U.shape[0]):
            q = a * a * E[i, 0] + 2.0 * a * b * E[i, 1] + b * b * E[i, 2]
            size += q
            squares += q * q
        freedom[k] = max(1.0, min(size * size / squares - 1.0, most))
    return True
