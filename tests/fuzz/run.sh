#!/usr/bin/env bash
# Runs fuzz targets one after the other with their seeds and words, and reports each one's figures.
#
# usage: tests/fuzz/run.sh [--runs N] [--seconds S] TARGET…
#   --runs     inputs a target, together with those of earlier calls (default: 10,000,000)
#   --seconds  stop a target after this time (default: no limit)
# The targets are built by `cmake --workflow --preset fuzz`. Inputs that reach new code are kept in
# build/fuzz/found/TARGET for the next call; a finding ends the script and is left beside them.
set -euo pipefail

fail() { printf 'run.sh: %s\n' "$1" >&2; exit 2; }

# The default quarantine of freed memory costs more time than it is worth here.
export ASAN_OPTIONS=quarantine_size_mb=16
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../build/fuzz
runs=10000000 seconds=0 targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    -*) fail "unknown option $1" ;;
    *) targets+=("$1"); shift ;;
  esac
done
[ ${#targets[@]} -gt 0 ] || fail 'usage: tests/fuzz/run.sh [--runs N] [--seconds S] TARGET…'

for target in "${targets[@]}"; do
  program=$build/tests/fuzz/fuzz_$target
  [ -x "$program" ] || fail "no target $target: cmake --workflow --preset fuzz"
  found=$build/found/$target
  mkdir -p "$found"
  seeds=("$here/corpus/$target") words=() most=4096
  case $target in
    png|jpeg)
      seeds=("$build/found/$target-seeds")
      mkdir -p "${seeds[0]}"
      [ "$target" = png ] && suffix=png || suffix=jpg
      find "$here/../io/data" -name "*.$suffix" -exec cp -t "${seeds[0]}" {} +
      words=("-dict=$here/$target.dict") most=1536
      ;;
    pickle|checkpoint) words=("-dict=$here/pickle.dict") ;;
    journal|recorded) words=("-dict=$here/json.dict") most=256 ;;
    jobs) words=("-dict=$here/json.dict") most=128 ;;
    json|index) words=("-dict=$here/json.dict") ;;
    bpe|prompt_syntax) most=128 ;;
    prompts) most=64 ;;
  esac
  log=$build/found/$target.log
  count=$build/found/$target.count
  done_before=$(cat "$count" 2>/dev/null || echo 0)
  if [ "$done_before" -ge "$runs" ]; then
    printf '%s: %s inputs already\n' "$target" "$done_before"
    continue
  fi
  status=0
  "$program" -runs=$((runs - done_before)) -max_total_time="$seconds" -max_len=$most -timeout=120 \
    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found-finding-" "${words[@]}" "$found" \
    "${seeds[@]}" >"$log" 2>&1 || status=$?
  now=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  # 72: Ctrl-C; what was done counts.
  if [ $status != 0 ] && [ $status != 72 ]; then
    tail -n 60 "$log" >&2
    fail "$target: a finding after ${now:-?} inputs, see $found-finding-*"
  fi
  echo $((done_before + now)) >"$count"
  printf '%s: %s inputs in all, %s in this run at %s a second, peak %s MiB, no finding\n' \
    "$target" $((done_before + now)) "$now" "$speed" "$memory"
  [ $status = 0 ] || exit 130
done
