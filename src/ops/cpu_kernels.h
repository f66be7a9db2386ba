// Every CPU kernel of this folder, for a CPU device to be made with.
#pragma once

#include "device/cpu/kernels.h"

namespace batchscope {

CpuKernels cpu_kernels();

}  // namespace batchscope
