// Every CUDA kernel of this folder, for a GPU to be made with.
#pragma once

#include "device/kernel_table.h"

namespace batchscope {

struct CudaContext;

KernelTable<CudaContext> cuda_kernels();

}  // namespace batchscope
