"""Programs run by the Python of a peer's own environment: `python peers_python.py TASK FILE ...`; imports nothing of ours."""

import os
import sys
from pathlib import Path

THREADS = 2
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, str(THREADS))


def cyvcf2_read(vcf: str) -> None:
    """Read every call into numpy, as a Python user would: reading alone, nothing is stored."""
    from cyvcf2 import VCF

    observed = 0
    for record in VCF(vcf, gts012=True, threads=THREADS):
        observed += int((record.gt_types < 3).sum())
    print(observed)


def allel_to_zarr(vcf: str, out: str) -> None:
    """VCF -> arrays in memory -> a file; scikit-allel's own writer to Zarr needs Zarr 2."""
    import allel
    import numpy as np

    calls = allel.read_vcf(vcf, fields=["variants/CHROM", "variants/POS", "calldata/GT"])["calldata/GT"]
    with Path(out).open("wb") as file:
        np.save(file, calls)


def bio2zarr_convert(vcf: str, out: str) -> None:
    """VCF -> VCF Zarr with its two steps, by as many worker processes as the others have threads."""
    from bio2zarr import vcf as converter

    converter.convert([vcf], out, worker_processes=THREADS)


def sgkit_linear(vcz: str, pheno: str, trait: str, covariates: str, out: str) -> None:
    """`gwas_linear_regression` of one trait from VCF Zarr; missing calls take their mean, samples without the trait are left out."""
    import dask
    import numpy as np
    import pandas as pd
    import sgkit

    dask.config.set(scheduler="threads", num_workers=THREADS)
    data = sgkit.load_dataset(vcz)
    table = pd.read_csv(pheno, sep="\t").set_index("IID").loc[data.sample_id.values.astype(str)]
    names = covariates.split(",")
    kept = table[trait].notna().to_numpy()
    data = data.isel(samples=np.flatnonzero(kept))
    calls = data.call_genotype.astype("float32")
    dosage = calls.sum("ploidy").where((calls >= 0).all("ploidy"))
    data["call_dosage"] = dosage.fillna(dosage.mean("samples")).chunk({"samples": -1})
    data["trait"] = ("samples", table.loc[kept, trait].to_numpy())
    for name in names:
        data[name] = ("samples", table.loc[kept, name].to_numpy(float))
    found = sgkit.gwas_linear_regression(
        data, dosage="call_dosage", covariates=names, traits=["trait"], add_intercept=True, merge=False
    ).compute()
    answer = pd.DataFrame(
        {
            "rsid": data.variant_id.values.astype(str),
            "effect_allele": data.variant_allele.values[:, 1].astype(str),
            "beta": found.variant_linreg_beta.values[:, 0],
            "t": found.variant_linreg_t_value.values[:, 0],
            "p": found.variant_linreg_p_value.values[:, 0],
        }
    )
    answer.to_csv(out, sep="\t", index=False)


def sgkit_regenie(vcz: str, pheno: str, traits: str, covariates: str, out: str) -> None:
    """`regenie`: predictions of the traits without each chromosome, as a `.loco` file of the first; samples that lack a trait are left out."""
    import dask
    import numpy as np
    import pandas as pd
    import sgkit

    dask.config.set(scheduler="threads", num_workers=THREADS)
    data = sgkit.load_dataset(vcz)
    ids = data.sample_id.values.astype(str)
    names, wanted = covariates.split(","), traits.split(",")
    table = pd.read_csv(pheno, sep="\t").set_index("IID").loc[ids]
    kept = table[wanted].notna().all(axis=1).to_numpy()
    data = data.isel(samples=np.flatnonzero(kept))
    calls = data.call_genotype.astype("float32")
    dosage = calls.sum("ploidy").where((calls >= 0).all("ploidy"))
    data["call_dosage"] = dosage.fillna(dosage.mean("samples")).chunk({"samples": -1})
    # regenie divides by the standard deviation of every variant.
    data = data.isel(variants=np.flatnonzero((data.call_dosage.var("samples") > 0).compute()))
    x, y = table.loc[kept, names].to_numpy(float), table.loc[kept, wanted].to_numpy(float)
    data["x"] = (("samples", "covariates"), (x - x.mean(0)) / x.std(0))
    data["y"] = (("samples", "traits"), (y - y.mean(0)) / y.std(0))
    found = sgkit.regenie(
        data, dosage="call_dosage", covariates="x", traits="y", variant_block_size=1000,
        sample_block_size=-(-int(kept.sum()) // 5), normalize=True, merge=False,
    )  # fmt: skip
    # All of its outputs, as a user asks for; what is computed on the way is shared.
    predictions = found.regenie_loco_prediction.compute().values
    contigs = data.contig_id.values.astype(str)
    with Path(out).open("w") as file:
        file.write(" ".join(["FID_IID", *(f"{name}_{name}" for name in ids[kept])]) + "\n")
        for contig, row in zip(contigs, predictions[:, :, 0], strict=True):
            file.write(" ".join([contig, *(f"{value:.8g}" for value in row)]) + "\n")


TASKS = {
    "sgkit-regenie": sgkit_regenie,
    "cyvcf2": cyvcf2_read,
    "scikit-allel": allel_to_zarr,
    "bio2zarr": bio2zarr_convert,
    "sgkit": sgkit_linear,
}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
