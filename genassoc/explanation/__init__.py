"""One association refitted in full: tests side by side, counts, a picture and plain words. statsmodels' only door."""
