"""Tests of sets of variants, such as genes: they stand on the null models of every family."""
