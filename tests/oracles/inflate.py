"""Slow twins of `genassoc.kernels.text.inflate`: zlib's inflater, whose code shares nothing with ours."""

import zlib


def inflate(data, begin, stop, size):
    """The text of a deflate stream that fills ``data[begin:stop]`` and inflates to ``size`` bytes; None where it does not."""
    inflater = zlib.decompressobj(wbits=-15)
    try:
        text = inflater.decompress(bytes(data[begin:stop]))
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data and len(text) == size
    return text if whole else None


def inflate_blocks(data, ends):
    """Texts of neighbouring gzip members, up to the first that is damaged; their CRCs are not looked at."""
    texts, begin = [], 0
    for end in ends:
        header = 12 + int.from_bytes(data[begin + 10 : begin + 12], "little")
        text = inflate(data, begin + header, end - 8, int.from_bytes(data[end - 4 : end], "little"))
        if text is None:
            break
        texts.append(text)
        begin = end
    return texts
