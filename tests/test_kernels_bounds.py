"""The tiny kernel tests and the fuzzers once more, compiled with bounds checks: a file of its own, so that it runs beside its twin."""

import pytest
from test_kernels_plain import run_kernel_tests


@pytest.mark.integration
@pytest.mark.slow
def test_kernel_tests_pass_with_bounds_checks(tmp_path):
    run_kernel_tests("NUMBA_BOUNDSCHECK", tmp_path, "kernel or fuzz")
