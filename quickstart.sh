#!/usr/bin/env bash
# Sets up a fresh machine, trains a small MEGA language model on five novels by Jane Austen, evaluates it on the sixth, streams a
# continuation and writes runs/quickstart/report.html.
#
#   ./quickstart.sh           everything; run again, it continues or shows what is there
#   ./quickstart.sh --setup   stops after the build: the program is then build/release/bin/everlong
set -euo pipefail
cd "$(dirname "$0")"
source tools/setup.sh

everlong=build/release/bin/everlong
run=runs/quickstart
novel=assets/austen/persuasion.txt

case "${1:-}" in
  "" | --setup) ;;
  *) echo "usage: ./quickstart.sh [--setup]" >&2; exit 2 ;;
esac

everlong_setup
everlong_build release everlong_program everlong_share
if [ "${1:-}" = --setup ]; then
  everlong_say "ready: $everlong --help"
  exit 0
fi

everlong_say "training on five novels (configs/quickstart.toml), run in $run"
resume=()
if [ -f "$run/config.toml" ]; then resume=(--resume); fi
"$everlong" train configs/quickstart.toml --out "$run" "${resume[@]}"

everlong_say "what general compressors make of $novel"
bits_per_byte() { awk -v c="$1" -v n="$(wc -c <"$novel")" 'BEGIN { printf "%.4f", 8 * c / n }'; }
xz_bits=$(bits_per_byte "$(xz -9e -c "$novel" | wc -c)")
bzip2_bits=$(bits_per_byte "$(bzip2 -9 -c "$novel" | wc -c)")
if ! grep -q '"kind":"reference"' "$run/metrics.jsonl"; then
  for line in "xz -9e:$xz_bits" "bzip2 -9:$bzip2_bits"; do
    printf '{"kind":"reference","name":"%s","file":"persuasion.txt","bits_per_byte":%s}\n' "${line%%:*}" "${line##*:}" >>"$run/metrics.jsonl"
  done
fi

everlong_say "a continuation, streamed"
"$everlong" generate "$run" --prompt "Anne had never been so happy" --max-tokens 120 --temperature 0.8 --top-p 0.95 --seed 1
"$everlong" plot "$run" -o "$run/report.html"

model_bits=$("$everlong" eval "$run" "$novel" --dtype bf16 --json | sed -n 's/.*"total":{[^}]*"bits_per_byte":\([0-9.]*\).*/\1/p')
everlong_say "report: $run/report.html"
printf '\nbits per byte on %s\n  %-28s %s\n  %-28s %s\n  %-28s %s\n' "$novel" "xz -9e" "$xz_bits" "bzip2 -9" "$bzip2_bits" "MEGA ($run)" "$(printf '%.4f' "$model_bits")"
