#!/usr/bin/env bash
# Installs the packages that are missing (Debian, Ubuntu), configures and builds; prints where the program is.
# usage: ./build.sh [--cuda] [release|debug|asan|tsan|fuzz|archive [TARGET…]]      (the folder build/ holds what is built)
#        --cuda: with the library that computes on GPUs, by a CUDA compiler from PyPI where no toolkit is new enough
set -euo pipefail
cd "$(dirname "$0")"
source tools/packages.sh
cuda=false
if [ "${1:-}" = --cuda ]; then
  cuda=true
  shift
fi
preset=${1:-release}
shift || true

packages=(g++ cmake ninja-build pkg-config git ca-certificates ccache mold
  libdnnl-dev ocl-icd-opencl-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libsqlite3-dev
  libsqlitecpp-dev libzstd-dev libprotozero-dev libsentencepiece-dev libpcre2-dev libicu-dev libncurses-dev
  libboost-dev libeigen3-dev libssl-dev libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libjs-dygraphs
  python3 libopenmpi-dev openmpi-bin)

if ! command -v dpkg-query >/dev/null; then
  say "this is not Debian or Ubuntu; taking what is installed (the list of packages stands in this script)"
else
  need "${packages[@]}"
  if [ "$preset" = fuzz ]; then
    need clang
    need "libclang-rt-$(clang --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p')-dev"
  fi
fi

if $cuda; then
  source tools/cuda_toolkit.sh
  use_cuda_toolkit
  quietly cmake --preset "$preset" -DCMAKE_CUDA_COMPILER="$CUDACXX" -DCUDAToolkit_ROOT="$CUDAToolkit_ROOT"
elif [ ! -f "build/$preset/build.ninja" ] || [ CMakePresets.json -nt "build/$preset/build.ninja" ]; then
  quietly cmake --preset "$preset"
fi
if [ -t 2 ]; then
  ninja -C "build/$preset" -j "$(nproc)" "$@" >&2
else
  quietly ninja -C "build/$preset" -j "$(nproc)" "$@"
fi
if [ "$preset" = fuzz ]; then echo "$PWD/build/fuzz"; else echo "$PWD/build/$preset/batchscope"; fi
