#!/usr/bin/env bash
# Installs a build into a prefix of its own and lets another project find, link and run it.
#
#   tests/consumer_test.sh build/release
set -euo pipefail
cd "$(dirname "$0")/.."
built=$1 work=$1/consumer
prefix=$PWD/$work/prefix

rm -rf "$prefix"
cmake --install "$built" --prefix "$prefix" >/dev/null
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$built/CMakeCache.txt")
cmake -S tests/consumer -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$prefix"
cmake --build "$work/build"

# expect TEXT COMMAND...: the command prints exactly that.
expect() {
  local expected=$1 got
  shift
  got=$("$@")
  if [ "$got" != "$expected" ]; then
    printf 'expected: %s\ngot:      %s\n' "$expected" "$got" >&2
    exit 1
  fi
}
expect "5 tokens of 256" "$work/build/bytes"
if ldd "$work/build/bytes" | grep -q torch; then echo "bytes is linked to libtorch" >&2; exit 1; fi

out=$("$work/build/stream")
echo "$out"
# 2 layers of (20 x 4 averages in fp32, 8 keys of 12 and values of 28 in fp32), 8 flags, the position.
grep -qE '^64 tokens in [0-9]+ pieces, position 102, 3216 bytes of state$' <<<"$out"

# Nothing that was installed may point back into the sources or the build.
if grep -rIl --include='*.cmake' "$PWD/everlong\|$PWD/$built/everlong" "$prefix/lib"; then echo "the package names the source tree" >&2; exit 1; fi

# The installed program finds its module.
expect "$("$built/bin/everlong" --version)" "$prefix/bin/everlong" --version
"$prefix/bin/everlong" doctor >/dev/null
