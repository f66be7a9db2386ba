// Kernels that matter are compiled once per instruction set; the loader picks.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(BATCHSCOPE_NO_TARGET_CLONES)
#define BATCHSCOPE_TARGET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
// The same of a function whose body, `...`, is told how many bytes a vector register has: GCC takes wider vectors
// through memory, tens of times slower. Static: whoever saw no more than a declaration would always call the default.
#define BATCHSCOPE_PER_TARGET(function, ...)                  \
  __attribute__((target("arch=x86-64-v4"))) static function { \
    constexpr int register_bytes = 64;                        \
    __VA_ARGS__;                                              \
  }                                                           \
  __attribute__((target("arch=x86-64-v3"))) static function { \
    constexpr int register_bytes = 32;                        \
    __VA_ARGS__;                                              \
  }                                                           \
  __attribute__((target("default"))) static function {        \
    constexpr int register_bytes = 16;                        \
    __VA_ARGS__;                                              \
  }
#else
#define BATCHSCOPE_TARGET_CLONES
#define BATCHSCOPE_PER_TARGET(function, ...) \
  static function {                          \
    constexpr int register_bytes = 16;       \
    __VA_ARGS__;                             \
  }
#endif
