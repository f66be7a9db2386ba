// A loop shared by a device's threads; serial for one thread, and where OpenMP is kept out (cmake/compiler.cmake).
#pragma once

#include <cstdint>

#include "device/cpu/kernels.h"

#ifndef BATCHSCOPE_WITHOUT_OPENMP
#include <omp.h>
#endif

namespace batchscope {

// Which of the device's threads calls, within a loop; 0 outside.
inline std::int64_t thread_number() {
#ifndef BATCHSCOPE_WITHOUT_OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

template <class Body>
void parallel_for([[maybe_unused]] const CpuContext& context, std::int64_t count, const Body& body) {
#ifndef BATCHSCOPE_WITHOUT_OPENMP
  if (context.threads > 1 && count > 1) {
#pragma omp parallel for num_threads(context.threads) schedule(static)
    for (std::int64_t index = 0; index < count; ++index) body(index);
    return;
  }
#endif
  for (std::int64_t index = 0; index < count; ++index) body(index);
}

// The same where some indices cost much more than others: whoever is free takes the next.
template <class Body>
void parallel_for_uneven([[maybe_unused]] const CpuContext& context, std::int64_t count, const Body& body) {
#ifndef BATCHSCOPE_WITHOUT_OPENMP
  if (context.threads > 1 && count > 1) {
#pragma omp parallel for num_threads(context.threads) schedule(dynamic)
    for (std::int64_t index = 0; index < count; ++index) body(index);
    return;
  }
#endif
  for (std::int64_t index = 0; index < count; ++index) body(index);
}

}  // namespace batchscope
