/* What NVTX (NVIDIA Tools Extension) and a tool that it loads know of each other: declared here since machines without
 * CUDA have no headers of it. nvtx_test.cc compares with those where they are installed.
 * Source: the injection interface of NVTX 3, nvtx3/nvtxDetail/nvtxTypes.h. */
#ifndef BATCHSCOPE_NVTX_INTERFACE_H
#define BATCHSCOPE_NVTX_INTERFACE_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Modules of functions and the functions' places in them. Those with a domain are in the second. */
enum { nvtx_module_core = 1, nvtx_module_core2 = 5 };
enum {
  nvtx_mark_ex = 1,
  nvtx_mark_a,
  nvtx_mark_w,
  nvtx_range_start_ex,
  nvtx_range_start_a,
  nvtx_range_start_w,
  nvtx_range_end,
  nvtx_range_push_ex,
  nvtx_range_push_a,
  nvtx_range_push_w,
  nvtx_range_pop,
  nvtx_core_size = 16
};
enum {
  nvtx_domain_mark_ex = 1,
  nvtx_domain_range_start_ex,
  nvtx_domain_range_end,
  nvtx_domain_range_push_ex,
  nvtx_domain_range_pop,
  nvtx_domain_register_string_a = 10,
  nvtx_domain_register_string_w,
  nvtx_domain_create_a,
  nvtx_domain_create_w,
  nvtx_domain_destroy,
  nvtx_core2_size = 16
};

/* A slot that holds a function's address, as every entry of a module's table leads to one. */
typedef void (*nvtx_function)(void);
typedef nvtx_function** nvtx_function_table;

enum { nvtx_callbacks_table = 1 };
struct nvtx_callbacks {
  size_t struct_size;
  int (*get_module_function_table)(int module, nvtx_function_table* table, unsigned int* size);
};
typedef const void* (*nvtx_get_export_table)(uint32_t table);

enum { nvtx_message_ascii = 1, nvtx_message_unicode = 2, nvtx_message_registered = 3 };
struct nvtx_event_attributes {
  uint16_t version, size; /* bytes that are there: an older program's has fewer */
  uint32_t category;
  int32_t color_type;
  uint32_t color;
  int32_t payload_type, reserved;
  uint64_t payload;
  int32_t message_type;
  union {
    const char* ascii;
    const wchar_t* unicode;
    const void* registered; /* what register_string returned */
  } message;
};

enum { nvtx_no_push_pop_tracking = -2 };

/* What a tool exports; NVTX_INJECTION64_PATH names its library. 0: the program is to go on without it. */
int InitializeInjectionNvtx2(nvtx_get_export_table get_export_table);

#ifdef __cplusplus
}
#endif
#endif
