// Kernels that matter are compiled once per instruction set; the loader picks.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(BATCHSCOPE_NO_TARGET_CLONES)
#define BATCHSCOPE_TARGET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BATCHSCOPE_TARGET_CLONES
#endif
