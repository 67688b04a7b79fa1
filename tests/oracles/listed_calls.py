"""Slow twins of genassoc.kernels.genotypes.listed_calls, on codes (V, N), one a byte."""


def put_calls(codes, rows, columns, calls):
    wrong = 0
    for k, (v, i, code) in enumerate(zip(rows, columns, calls), 1):
        if codes[v, i] not in (3, code) and not wrong:
            wrong = k
        codes[v, i] = code
    return wrong


def fill_reference(codes, reference):
    for v, is_reference in enumerate(reference):
        if is_reference:
            codes[v][codes[v] == 3] = 0


def clear_calls(codes, rows, columns):
    for v, i in zip(rows, columns):
        codes[v, i] = 3
