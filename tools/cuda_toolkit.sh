# A CUDA compiler with its libraries, for build.sh to source: use_cuda_toolkit sets CUDACXX and CUDAToolkit_ROOT, to the
# toolkit that is installed, or, where none is new enough, to one made of PyPI's wheels in build/cuda.
oldest_cuda=12.4
# Of one release, which drivers from 580 on take.
cuda_wheels=(nvidia-cuda-nvcc==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-crt==13.0.* nvidia-cuda-runtime==13.0.*
  nvidia-cuda-cccl==13.0.* nvidia-cublas==13.0.*)

is_new_enough() { # NVCC
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  [ -n "$version" ] && [ "$(printf '%s\n' "$oldest_cuda" "$version" | sort -V | head -1)" = "$oldest_cuda" ]
}

install_cuda_wheels() { # FOLDER
  local toolkit library
  command -v dpkg-query >/dev/null && need python3-venv
  say "installing ${cuda_wheels[*]} in $1"
  rm -rf "$1"
  quietly python3 -m venv "$1"
  quietly "$1/bin/pip" install --quiet --disable-pip-version-check "${cuda_wheels[@]}"
  toolkit=$(echo "$1"/lib/python3*/site-packages/nvidia/cu13)
  # As a toolkit has it, and CMake looks for it.
  ln -s lib "$toolkit/lib64"
  for library in "$toolkit"/lib/lib*.so.*; do ln -sf "$(basename "$library")" "${library%.so.*}.so"; done
  chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
}

use_cuda_toolkit() {
  local compiler folder=$PWD/build/cuda
  for compiler in "${CUDACXX:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -x "$compiler" ] && is_new_enough "$compiler"; then
      CUDACXX=$compiler
      CUDAToolkit_ROOT=$(dirname "$(dirname "$(realpath "$compiler")")")
      return
    fi
  done
  compiler=$(echo "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  if ! is_new_enough "$compiler"; then
    install_cuda_wheels "$folder"
    compiler=$(echo "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  fi
  CUDACXX=$compiler
  CUDAToolkit_ROOT=$(dirname "$(dirname "$compiler")")
}
