#!/usr/bin/env bash
# Sets up the machine as quickstart.sh does, builds, and runs every test and check. The last line is "N passed, N failed".
#
#   ./run_tests.sh          everything that a change must pass
#   ./run_tests.sh --full   also: Hugging Face, PyTorch and megalodon-jax as peers, g++ build, sanitizers over the torch rooms, CUDA compilation
set -uo pipefail
cd "$(dirname "$0")"
source tools/setup.sh

full=false
case "${1:-}" in
  "") ;;
  --full) full=true ;;
  *) echo "usage: ./run_tests.sh [--full]" >&2; exit 2 ;;
esac

results=build/test-results
passed=0 failed=0
failures=()

# check NAME COMMAND...: one pass or failure; its output is shown only if it fails.
check() {
  local name=$1 log
  shift
  log="$results/$(echo "$name" | tr -c 'a-zA-Z0-9\n' '_').log"
  everlong_say "$name"
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1)) failures+=("$name")
    tail -n 60 "$log" >&2
  fi
}

# gtest PRESET EXECUTABLE: counts the test cases of one GoogleTest program; a crash counts as a failure.
gtest() {
  local name="$1 $2" xml="$results/$1-$2.xml" log="$results/$1-$2.log" status=0 tests=0 bad=0
  everlong_say "$name"
  rm -f "$xml"
  "build/$1/bin/$2" --gtest_brief=1 "--gtest_output=xml:$xml" >"$log" 2>&1 || status=$?
  if [ -f "$xml" ]; then
    read -r tests bad < <(sed -n 's/^<testsuites tests="\([0-9]*\)" failures="\([0-9]*\)".*/\1 \2/p' "$xml")
  fi
  tests=${tests:-0} bad=${bad:-0}
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1 tests=$((tests + 1)); fi
  if [ "$tests" -eq 0 ]; then bad=1; fi
  passed=$((passed + tests - bad)) failed=$((failed + bad))
  if [ "$bad" -gt 0 ]; then
    failures+=("$name")
    grep -aE '^\[  FAILED|Failure|error|ERROR|Expected|Actual|Which' -A4 "$log" | tail -n 60 >&2
    tail -n 20 "$log" >&2
  fi
}

run_gtests() {
  local preset=$1 program
  for program in "build/$preset"/bin/*_test; do gtest "$preset" "$(basename "$program")"; done
}

# ctests PRESET [ctest options]: one check for each CTest that matches; a selection that matches nothing is a failure.
ctests() {
  local preset=$1 name names
  shift
  names=$(ctest --test-dir "build/$preset" -N "$@" | sed -n 's/^ *Test *#[0-9]*: //p')
  if [ -z "$names" ]; then failed=$((failed + 1)) failures+=("ctest $preset $*: no test matches"); fi
  for name in $names; do check "$preset $name" ctest --test-dir "build/$preset" --output-on-failure -R "^$name\$"; done
}

tensorboard_environment() {
  if [ -x .venv-interop/bin/python ] && .venv-interop/bin/python -c 'import tensorboard' 2>/dev/null; then return; fi
  python3 -m venv .venv-interop && .venv-interop/bin/pip install -q tensorboard
}
tensorboard() { tensorboard_environment && EVERLONG_PROGRAM=build/release/bin/everlong .venv-interop/bin/python tests/interop/tensorboard_test.py; }

# Hugging Face's own code and PyTorch against ours; torch and transformers come into an environment of their own.
peers() { python3 tests/interop/mega_hf_test.py --environment .venv-interop; }
mega_and_hugging_face() { peers && EVERLONG_PROGRAM=build/release/bin/everlong .venv-interop/bin/python tests/interop/mega_hf_test.py; }
megalodon_and_jax() {
  python3 tests/interop/megalodon_jax_test.py --environment .venv-interop &&
    EVERLONG_PROGRAM=build/release/bin/everlong .venv-interop/bin/python tests/interop/megalodon_jax_test.py
}
pairs_and_hugging_face() { peers && EVERLONG_MODELS_TEST=build/release/bin/models_test .venv-interop/bin/python tests/interop/pair_hf_test.py; }
pytorch_reads_our_files() { peers && EVERLONG_IO_TEST=build/release/bin/io_test .venv-interop/bin/python tests/interop/torch_file_test.py; }

# nvcc is enough to compile the CUDA kernels; linking and running them needs more than a machine without a GPU has.
cuda_kernels() { everlong_build cuda everlong_kernels; }
find_nvcc() { command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; }; }

finish() {
  if [ "$failed" -gt 0 ]; then printf 'failed: %s\n' "${failures[@]}"; fi
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

trap 'echo "0 passed, 1 failed"; exit 1' INT TERM
everlong_setup libclang-rt-14-dev || { echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$results"

check "layers, sizes and registry" tools/check_layers.py
check "build release" everlong_build release
if [ "$failed" -gt 0 ]; then finish; fi
run_gtests release
ctests release -R '^(meta|cli|kill|example_.*)$'
check "documents" python3 tools/check_docs.py
check "documents, planted faults" python3 tools/check_docs.py --self-test
check "configuration table" python3 tools/make_config_table.py --check
check "install and consumer" tests/consumer_test.sh build/release
check "TensorBoard reads the events" tensorboard

sanitized=(base_test io_test text_test report_test kernels_test apps_test)
fuzzers=($(sed -n 's/^everlong_fuzz(\([a-z_]*\).*/fuzz_\1/p' fuzz/CMakeLists.txt))
check "build fuzz" env CXX=clang++ bash -c 'source tools/setup.sh; everlong_build fuzz "$@"' fuzz "${sanitized[@]}" everlong_program apps_foreign_module "${fuzzers[@]}"
for program in "${sanitized[@]}"; do gtest fuzz "$program"; done
ctests fuzz -R '^cli$'
ctests fuzz -L fuzz

if $full; then
  check "MEGA and Hugging Face read each other" mega_and_hugging_face
  check "Megalodon and megalodon-jax read each other" megalodon_and_jax
  check "Hugging Face reads our encoder-decoder pairs" pairs_and_hugging_face
  check "PyTorch reads our files" pytorch_reads_our_files
  check "build gcc" env CXX=g++ bash -c 'source tools/setup.sh; everlong_build gcc'
  run_gtests gcc
  check "build asan-ubsan" env CXX=clang++ bash -c 'source tools/setup.sh; everlong_build asan-ubsan'
  run_gtests asan-ubsan
  if [ -n "$(find_nvcc)" ]; then check "compile the CUDA kernels" cuda_kernels; else everlong_say "no nvcc: the CUDA kernels are not compiled"; fi
fi
finish
