"""Loops over what was made of genotypes: Gram matrices, products, distances."""
