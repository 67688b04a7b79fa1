"""Slow twins of `genassoc.kernels.genotypes.half_calls`: one call at a time."""

import numpy as np


def forget_half_calls(codes: np.ndarray, marks: np.ndarray, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Codes and marks (V, N) with half calls of some rows not observed and not marked."""
    return settle_half_calls(codes, marks, rows, [False] * len(rows), np.zeros(codes.shape[1], bool))


def settle_half_calls(
    codes: np.ndarray, marks: np.ndarray, rows: list[int], whole: list[bool], who: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and marks (V, N) with half calls of some rows whole, in ``who`` (N,) where ``whole``, else not observed."""
    codes, marks = codes.copy(), marks.copy()
    for row, is_whole in zip(rows, whole):
        for i in range(codes.shape[1]):
            if marks[row, i] and codes[row, i] in (1, 3):
                if is_whole and who[i]:
                    codes[row, i] = 2 if codes[row, i] == 1 else 0
                else:
                    codes[row, i], marks[row, i] = 3, False
    return codes, marks
