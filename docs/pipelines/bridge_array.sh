#!/usr/bin/env bash
# A GWAS, or a conversion, as a job array under Bridge, the front of the queue at TGCC (ccc_msub, #MSUB):
#
#     bridge_array.sh WORK OUT PROJECT [PARTITION [CORES [SECONDS]]]
#
# after `genassoc plan gwas.toml WORK --parts N` on a login node. Compute nodes have no network and need none. Run again, it
# submits only the parts that are missing. The text of both jobs is left in WORK.logs; MSUB=cat prints them instead of
# submitting.
set -euo pipefail

(($# >= 3)) || { echo "usage: bridge_array.sh WORK OUT PROJECT [PARTITION [CORES [SECONDS]]]" >&2; exit 2; }
work=$1 out=$2 project=$3 partition=${4:-rome} cores=${5:-8} seconds=${6:-14400}
GENASSOC=${GENASSOC:-genassoc}
MSUB=${MSUB:-ccc_msub}

mkdir -p "$work.logs"
missing=$($GENASSOC status "$work" --json | python3 -c 'import json, sys; print(",".join(map(str, json.load(sys.stdin)["missing_parts"])))')
waits=""
if [[ -n $missing ]]; then
  cat >"$work.logs/part.sh" <<JOB
#!/usr/bin/env bash
#MSUB -r genassoc
#MSUB -A $project
#MSUB -q $partition
#MSUB -n 1
#MSUB -c $cores
#MSUB -T $seconds
#MSUB -m scratch,work,store
#MSUB -o $work.logs/part-%a.%A.log
#MSUB -e $work.logs/part-%a.%A.log
#MSUB -E "--array=$missing"
set -euo pipefail
cd "\${BRIDGE_MSUB_PWD:-\$PWD}"
$GENASSOC part '$work' "\${BRIDGE_ARRAY_TASK_ID:-\$SLURM_ARRAY_TASK_ID}" --threads "\${BRIDGE_MSUB_NCORE:-$cores}"
JOB
  said=$($MSUB "$work.logs/part.sh")
  echo "parts $missing: $said"
  job=$(grep -oE '[0-9]+' <<<"$said" | tail -1)
  waits="#MSUB -E \"--dependency=afterok:$job --kill-on-invalid-dep=yes\""
fi
cat >"$work.logs/merge.sh" <<JOB
#!/usr/bin/env bash
#MSUB -r genassoc-merge
#MSUB -A $project
#MSUB -q $partition
#MSUB -n 1
#MSUB -c 2
#MSUB -T 3600
#MSUB -m scratch,work,store
#MSUB -o $work.logs/merge.%j.log
#MSUB -e $work.logs/merge.%j.log
$waits
set -euo pipefail
cd "\${BRIDGE_MSUB_PWD:-\$PWD}"
$GENASSOC merge '$work' '$out'
JOB
echo "merge: $($MSUB "$work.logs/merge.sh")"
