#!/usr/bin/env bash
# A GWAS, or a conversion, as a SLURM job array, and the merge that waits for it:
#
#     slurm_array.sh gwas.toml WORK OUT PARTS [sbatch options ...]
#     slurm_array.sh --convert cohort.chr*.vcf.gz WORK OUT.zarr PARTS [-- sbatch options ...]
#
# for example:  slurm_array.sh gwas.toml work ldl.parquet 100 --partition=main --cpus-per-task=4 --mem=4G --time=4:00:00
#
# Run again, it submits only the parts that are missing: after a cancelled task, a time limit, a node that died.
set -euo pipefail

GENASSOC=${GENASSOC:-genassoc}
convert=()
inputs=()
if [[ ${1:-} == --convert ]]; then
  shift
  convert=(--convert)
  while (($#)) && [[ $1 != -- ]]; do inputs+=("$1"); shift; done
  [[ ${1:-} != -- ]] || shift
  n=${#inputs[@]}
  ((n >= 4)) || { echo "usage: slurm_array.sh --convert IN... WORK OUT PARTS [-- sbatch options]" >&2; exit 2; }
  work=${inputs[n - 3]} out=${inputs[n - 2]} parts=${inputs[n - 1]}
  inputs=("${inputs[@]:0:n-3}")
else
  (($# >= 4)) || { echo "usage: slurm_array.sh gwas.toml WORK OUT PARTS [sbatch options]" >&2; exit 2; }
  inputs=("$1") work=$2 out=$3 parts=$4
  shift 4
fi

# Once; bad input, and memory that is too small, are found here and not in the queue.
[[ -e $work/plan.json ]] || $GENASSOC plan "${convert[@]}" "${inputs[@]}" "$work" --parts "$parts"

mkdir -p "$work.logs"
missing=$($GENASSOC status "$work" --json | python3 -c 'import json, sys; print(",".join(map(str, json.load(sys.stdin)["missing_parts"])))')
waits=()
if [[ -n $missing ]]; then
  array=$(sbatch --parsable --job-name=genassoc --array="$missing" --output="$work.logs/part-%a.%A.log" "$@" \
    --wrap "$GENASSOC part '$work' \$SLURM_ARRAY_TASK_ID")
  echo "parts $missing: job ${array%%;*}"
  # afterok: the merge never starts on a missing part; kill-on-invalid-dep: nor does it wait for ever for a failed one.
  waits=(--dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes)
fi
merge=$(sbatch --parsable --job-name=genassoc-merge --output="$work.logs/merge.%j.log" "${waits[@]}" "$@" \
  --wrap "$GENASSOC merge '$work' '$out'")
echo "merge: job ${merge%%;*}"
