// Where the shared libraries of a CUDA toolkit (cuBLASLt, CUPTI, NCCL) lie. The loader alone knows few of these places:
// clusters have them in a toolkit, beside the program, or in the wheels of a Python environment.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// What is asked about the machine; tests answer otherwise.
struct CudaPlaces {
  std::function<const char*(const char* name)> variable;  // of the environment; null where there is none
  std::filesystem::path root = "/";
  std::filesystem::path program;  // its file
};
CudaPlaces cuda_places();  // of this machine and program

// The files to try for a library that has one of these names, in this order: each name as the loader finds it, then those
// that exist beside the program or in its ../lib, in CUDA_HOME, CUDA_PATH and /usr/local/cuda, and in the wheels of the Python
// environment that is active (VIRTUAL_ENV, CONDA_PREFIX), of the user's and of the system's.
std::vector<std::string> cuda_files(std::span<const std::string_view> names, const CudaPlaces& places = cuda_places());

}  // namespace batchscope
