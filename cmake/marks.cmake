# What stands outside of the program to write marks: the library that NVTX loads, and small programs for the tests.
target_include_directories(batchscope_telemetry PRIVATE include)  # as programs that write marks do
if(BATCHSCOPE_FUZZ)
  return()
endif()

# It is loaded into any program: the C library alone, and nothing exported but its entry.
add_library(batchscope_nvtx_injection SHARED src/telemetry/nvtx/injection.c)
set_target_properties(batchscope_nvtx_injection PROPERTIES OUTPUT_NAME batchscope_nvtx C_VISIBILITY_PRESET hidden
                      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} C_STANDARD 11 C_EXTENSIONS OFF)
target_include_directories(batchscope_nvtx_injection PRIVATE include src)

add_executable(mark_program src/telemetry/marks/mark_program.c)
set_target_properties(mark_program PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
target_include_directories(mark_program PRIVATE include)
target_include_directories(telemetry_test PRIVATE include)
add_dependencies(telemetry_test mark_program batchscope_nvtx_injection)

# Where NVIDIA's headers are, what we declare of NVTX is compared with them.
find_path(nvtx_headers nvtx3/nvToolsExt.h PATHS /usr/local/cuda/include)
if(nvtx_headers)
  add_executable(nvtx_program src/telemetry/nvtx/nvtx_program.c)
  set_target_properties(nvtx_program PROPERTIES C_STANDARD 11)
  target_include_directories(nvtx_program SYSTEM PRIVATE ${nvtx_headers})
  target_link_libraries(nvtx_program PRIVATE ${CMAKE_DL_LIBS})
  target_include_directories(telemetry_test SYSTEM PRIVATE ${nvtx_headers})
  add_dependencies(telemetry_test nvtx_program)
endif()
