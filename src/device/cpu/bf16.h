// Whether this machine's CPU computes in bf16: oneDNN does so where there is AVX-512.
#pragma once

namespace batchscope {

inline bool cpu_computes_bf16() { return __builtin_cpu_supports("avx512bw"); }

}  // namespace batchscope
