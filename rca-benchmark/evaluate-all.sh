#!/usr/bin/env bash
# All methods on all the data sets given, then the report. Started again, it goes on where it stopped.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: evaluate-all.sh [--out DIR] [--workers N | --ray ADDRESS] [--timeout S] DATASET...

Runs every installed method on every case of the data sets, writes results.parquet,
leaderboard.csv, leaderboard.md and report.html to DIR. Interrupted and started again
with the same DIR, it computes only what is missing.

  --out DIR     gets the results (default: results)
  --workers N   processes (default: the number of cores)
  --ray ADDRESS run over this Ray cluster instead, whose nodes see the data sets under the same paths
  --timeout S   seconds for a method on a case (default: 600)

A case that cannot be read is named and counts for no method. A method that fails, or
is cut off by a limit, counts as wrong.

example:
  rca-benchmark/evaluate-all.sh --out results cases
HELP
}

fail() {
    echo "evaluate-all.sh: $1" >&2
    exit 2
}

out=results
workers=
ray=
timeout=600
datasets=()
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --out | --workers | --ray | --timeout)
            (($# > 1)) || fail "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"
            shift
            ;;
        -*) fail "unknown option $1; see --help" ;;
        *) datasets+=("$1") ;;
    esac
    shift
done
((${#datasets[@]})) || fail "no data set given; see --help"
[[ -z $workers || -z $ray ]] || fail "--workers and --ray exclude each other"
where=(--workers "${workers:-$(nproc)}")
[[ -z $ray ]] || where=(--ray "$ray")

program=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/rca-benchmark
[[ -x $program ]] || program=$(command -v rca-benchmark) || fail "rca-benchmark is not installed; run make test once, or pip install"

"$program" evaluate "${datasets[@]}" --methods all "${where[@]}" --timeout "$timeout" --keep-going --out "$out"
"$program" report "$out" --html --dataset "${datasets[@]}"
