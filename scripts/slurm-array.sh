#!/usr/bin/env bash
#SBATCH --job-name=ldm-gen
#SBATCH --array=0-7
#SBATCH --time=04:00:00
#SBATCH --requeue
#
# One batch over a SLURM job array: sbatch [--array=0-N] scripts/slurm-array.sh JOBS.jsonl DIR [OPTION…]
#
# Every element takes its shard of the jobs and goes on where an earlier one was stopped. An element
# that reaches the time limit asks SLURM to start it again. LDM_GEN names the program.
set -uo pipefail

[ $# -ge 2 ] || { sed -n '7,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
jobs=$1
folder=$2
shift 2

"${LDM_GEN:-ldm-gen}" --jobs "$jobs" --output-dir "$folder" --shard auto \
  --time-limit "${LDM_TIME_LIMIT:-3h50m}" "$@"
code=$?
if [ $code = 75 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
