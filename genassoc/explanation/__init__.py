"""One association refitted in full: tests side by side, counts, a picture and plain words. statsmodels' only door."""

from genassoc.explanation.explain import Explanation, explain

__all__ = ["Explanation", "explain"]
