"""The sentences of a report by their keys, in English and French, and how numbers are written in each."""

import math
from collections.abc import Mapping
from importlib import import_module

from genassoc.errors import GenassocError

LANGUAGES = ("en", "fr")
_MINUS = "\N{MINUS SIGN}"
_GROUPS = {"en": ",", "fr": "\N{NARROW NO-BREAK SPACE}"}
_POINTS = {"en": ".", "fr": ","}
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Words:
    """The sentences of one language; called with a key and what stands in its places.

    Parameters
    ----------
    lang : {"en", "fr"}

    Raises
    ------
    GenassocError
        There is no such language.
    """

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise GenassocError(f"lang={lang!r}: a report is written in {' or '.join(LANGUAGES)}.")
        self.lang = lang
        self._texts: Mapping[str, str] = import_module(f"genassoc.reporting.words.{lang}").TEXTS

    def __call__(self, key: str, **values: object) -> str:
        """The sentence with its places filled: whole numbers are written as the language has them."""
        filled = {name: self.whole(v) if type(v) is int else str(v) for name, v in values.items()}
        return self._texts[key].format(**filled)

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self._texts

    def named(self, kind: str, name: str) -> str:
        """The word for a name that genassoc uses (``kind`` is "model", "test", ...), or the name itself where there is none."""
        return self._texts.get(f"{kind}.{name}", name)

    def whole(self, value: int) -> str:
        """A whole number."""
        return f"{value:,}".replace("-", _MINUS).replace(",", _GROUPS[self.lang])

    def decimal(self, value: float, digits: int = 3) -> str:
        """A number with so many significant digits, or a dash where there is none."""
        if not math.isfinite(value):
            return "\N{EN DASH}" if math.isnan(value) else ("" if value > 0 else _MINUS) + "∞"
        if value and not 1e-4 <= abs(value) < 1e7:
            mantissa, power = f"{value:.{digits - 1}e}".split("e")
            return f"{self._local(mantissa)} × 10{str(int(power)).translate(_SUPERSCRIPTS)}"
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        places = max(0, digits - whole) if whole else digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
        return self._local(f"{value:,.{min(places, 9)}f}")

    def fixed(self, value: float, places: int) -> str:
        """A number with so many decimals, or a dash."""
        return self._local(f"{value:,.{places}f}") if math.isfinite(value) else "\N{EN DASH}"

    def share(self, value: float) -> str:
        """A share as per cent."""
        text = self.decimal(100 * value, 3)
        return text + ("%" if self.lang == "en" else "\N{NARROW NO-BREAK SPACE}%")

    def p(self, neg_log_10: float) -> str:
        """A p from its -log10, which may be far below the smallest float."""
        if not math.isfinite(neg_log_10):
            return "\N{EN DASH}" if math.isnan(neg_log_10) else "0"
        if neg_log_10 < 3:
            return self._local(f"{10.0**-neg_log_10:.3g}")
        power = math.floor(-neg_log_10)
        mantissa = f"{10.0 ** (-neg_log_10 - power):.2f}"
        if mantissa == "10.00":
            mantissa, power = "1.00", power + 1
        return f"{self._local(mantissa)} × 10{str(power).translate(_SUPERSCRIPTS)}"

    def listed(self, items: list[str]) -> str:
        """Several things in a sentence: "a, b and c"."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self('and')} {items[-1]}"

    def _local(self, text: str) -> str:
        swapped = text.replace(",", "\0").replace(".", _POINTS[self.lang]).replace("\0", _GROUPS[self.lang])
        return swapped.replace("-", _MINUS)
