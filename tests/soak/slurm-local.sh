#!/usr/bin/env bash
# Runs a command as a job step of a real SLURM on this machine alone: starts munge, slurmctld and
# slurmd from a temporary folder, runs `srun ARGUMENTS…`, and stops them all again, also on failure.
# As root, in a container without systemd or cgroups. Needs Debian's slurm-wlm and munge.
#
# usage: tests/soak/slurm-local.sh [--batch | --sbatch] ARGUMENTS…
#   e.g. tests/soak/slurm-local.sh -n 2 --mpi=pmix build/dev/bin/group_worker train
#   --batch   the arguments are a shell line that runs as a batch script with two tasks
#   --sbatch  the arguments are sbatch's; job arrays are waited for as a whole
set -euo pipefail

fail() { printf 'slurm-local: %s\n' "$1" >&2; exit 2; }

mode=srun
case ${1:-} in --batch|--sbatch) mode=${1#--}; shift ;; esac
[ $# -gt 0 ] || fail 'usage: tests/soak/slurm-local.sh [--batch | --sbatch] ARGUMENTS…'
[ "$(id -u)" = 0 ] || fail 'must run as root'
for tool in munged mungekey slurmctld slurmd srun; do
  PATH=$PATH:/usr/sbin command -v $tool >/dev/null || fail "no $tool: apt-get install slurm-wlm munge"
done
PATH=$PATH:/usr/sbin

home=$(mktemp -d /tmp/slurm-local-XXXXXX)
host=$(hostname -s)
started=()

stop_all() {
  local i
  for ((i = ${#started[@]} - 1; i >= 0; --i)); do
    kill "${started[i]}" 2>/dev/null || true
    for _ in $(seq 50); do
      kill -0 "${started[i]}" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "${started[i]}" 2>/dev/null || true
  done
  rm -rf "$home"
}
trap stop_all EXIT

start() {  # NAME COMMAND…: in the background, its output in a log
  local name=$1
  shift
  "$@" >"$home/$name.log" 2>&1 &
  started+=($!)
}

wait_for() {  # WHAT COMMAND…: at most 20 s
  local what=$1
  shift
  for _ in $(seq 100); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  for log in "$home"/*.log; do tail -n 20 "$log" >&2; done
  fail "$what does not come up"
}

mkdir -p "$home"/{munge,state,spool}
# munged insists on folders that nobody else may write to; the keys and sockets stay in ours.
chmod 755 "$home"
chmod 700 "$home/munge"
mungekey --create --keyfile="$home/munge/key"
chmod 755 "$home/munge"
socket=$home/munge/socket
start munged munged --foreground --force --key-file="$home/munge/key" --socket="$socket" \
  --pid-file="$home/munge/pid" --log-file="$home/munge/log" --seed-file="$home/munge/seed"
wait_for munge munge --no-input --socket="$socket"

cat >"$home/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc --all) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
CONF
touch "$home/cgroup.conf"
export SLURM_CONF=$home/slurm.conf
start slurmctld slurmctld -D -c -f "$SLURM_CONF"
start slurmd slurmd -D -f "$SLURM_CONF" -N "$host"
idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }
wait_for 'the node' idle

# Not sbatch --wait, which asks too seldom. Fails unless every element of the job came to a good end.
wait_for_job() {  # JOB
  local states
  while [ -n "$(squeue --noheader --job "$1" 2>/dev/null)" ]; do sleep 0.5; done
  states=$(scontrol --oneliner show job "$1" | grep -o 'JobState=[A-Z_]*' | sort -u)
  [ "$states" = JobState=COMPLETED ] || { printf '%s\n' "$states" >&2; return 1; }
}

status=0
case $mode in
  srun) srun --overcommit "$@" || status=$? ;;
  sbatch) wait_for_job "$(sbatch --parsable "$@")" || status=1 ;;
  batch)
    printf '#!/bin/bash\n%s\n' "$*" >"$home/job.sh"
    job=$(sbatch --parsable --overcommit --ntasks=2 --output="$home/job.out" "$home/job.sh")
    wait_for_job "$job" || status=1
    cat "$home/job.out"
    ;;
esac
exit "$status"
