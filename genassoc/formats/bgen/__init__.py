"""BGEN: Oxford's format of probabilities of genotypes (https://www.chg.ox.ac.uk/~gav/bgen_format/), versions 1.1 to 1.3."""
