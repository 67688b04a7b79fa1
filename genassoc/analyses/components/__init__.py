"""Principal components of genotypes: products with thin matrices pass by pass, the exact matrix of few samples, loadings, projection."""
