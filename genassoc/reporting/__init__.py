"""The report on a run: one HTML file that needs nothing else."""
