#!/usr/bin/env bash
# Makes a fresh Debian 12 / Ubuntu 22.04+ machine able to build everlong, and builds it. Sourced by quickstart.sh and run_tests.sh.
# Takes what is already there: installed packages, an active Python with torch. Every step may be run again.

everlong_say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

everlong_packages=(g++ clang ccache mold ninja-build cmake pkg-config python3-venv xz-utils bzip2
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libsimdjson-dev libfmt-dev libspdlog-dev libsentencepiece-dev libpcre2-dev
  libutf8proc-dev libzstd-dev zlib1g-dev libxxhash-dev libhwy-dev libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev)

# everlong_install_packages [more packages]: installs those that are missing.
everlong_install_packages() {
  local missing=() package
  for package in "${everlong_packages[@]}" "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  everlong_say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local root=()
  if [ "$(id -u)" -ne 0 ]; then root=(sudo); fi
  "${root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

everlong_has_torch() { "$1" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null; }

# Without an NVIDIA GPU three wheels are enough for libtorch (1.3 GB instead of 5.4); with one, the whole of torch.
everlong_install_torch() {
  if everlong_has_torch python3; then return; fi
  if [ -x .venv/bin/python ] && everlong_has_torch .venv/bin/python; then return; fi
  everlong_say "installing PyTorch into .venv"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  if [ -e /proc/driver/nvidia/version ]; then
    .venv/bin/pip install -q torch numpy
  else
    .venv/bin/pip install -q --no-deps torch nvidia-cuda-runtime nvidia-cuda-cupti
  fi
}

everlong_install_cmake() {  # Ubuntu 22.04 has 3.22
  if printf '3.25\n%s\n' "$(cmake --version 2>/dev/null | sed -n '1s/.* //p')" | sort -VC; then return; fi
  everlong_say "installing CMake into .venv"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/pip install -q 'cmake>=3.25'
  export PATH="$PWD/.venv/bin:$PATH"
}

# everlong_build PRESET [target...]: configures once and builds. clang++ compiles these sources twice as fast as g++; CXX decides if set.
everlong_build() {
  local preset=$1
  shift
  if [ ! -f "build/$preset/build.ninja" ]; then
    everlong_say "configuring build/$preset"
    local compiler=${CXX:-$(command -v clang++ || command -v g++)}
    cmake --preset "$preset" -DCMAKE_CXX_COMPILER="$compiler" >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; return 1; }
    rm -f "build-$preset.log"
  fi
  everlong_say "building build/$preset"
  cmake --build "build/$preset" --target "${@:-all}"
}

everlong_setup() {
  everlong_install_packages "$@"
  everlong_install_cmake
  everlong_install_torch
}
