#!/usr/bin/env bash
# Installs the packages that are missing (Debian, Ubuntu), configures and builds; prints where the program is.
# usage: ./build.sh [release|debug|asan|tsan|fuzz [TARGET…]]      (the folder build/ holds what is built)
set -euo pipefail
cd "$(dirname "$0")"
source tools/packages.sh
preset=${1:-release}
shift || true

packages=(g++ cmake ninja-build pkg-config git ca-certificates ccache mold
  libdnnl-dev ocl-icd-opencl-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libsqlite3-dev
  libsqlitecpp-dev libzstd-dev libprotozero-dev libsentencepiece-dev libpcre2-dev libicu-dev libncurses-dev
  libcpp-httplib-dev libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libjs-chart.js libjs-dygraphs python3)

if ! command -v dpkg-query >/dev/null; then
  say "this is not Debian or Ubuntu; taking what is installed (the list of packages stands in this script)"
else
  need "${packages[@]}"
  if [ "$preset" = fuzz ]; then
    need clang
    need "libclang-rt-$(clang --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p')-dev"
  fi
fi

if [ ! -f "build/$preset/build.ninja" ] || [ CMakePresets.json -nt "build/$preset/build.ninja" ]; then
  quietly cmake --preset "$preset"
fi
if [ -t 2 ]; then
  ninja -C "build/$preset" -j "$(nproc)" "$@" >&2
else
  quietly ninja -C "build/$preset" -j "$(nproc)" "$@"
fi
if [ "$preset" = fuzz ]; then echo "$PWD/build/fuzz"; else echo "$PWD/build/$preset/batchscope"; fi
