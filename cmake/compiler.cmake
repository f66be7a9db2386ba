# Language, warnings and sanitizers, the same for every folder.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

set(BATCHSCOPE_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them: address,undefined | thread")
option(BATCHSCOPE_FUZZ "Build the fuzz targets with libFuzzer (clang)" OFF)
# Compilers that we do not develop with may know warnings that we have not met: there they only warn.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(known_compiler ON)
else()
  set(known_compiler OFF)
endif()
option(BATCHSCOPE_WARNINGS_ARE_ERRORS "Stop at the first warning" ${known_compiler})

# -fno-math-errno, -fno-trapping-math: nothing here reads errno or floating-point exceptions, and loops can be vectorised.
add_compile_options(-fno-math-errno -fno-trapping-math)
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
                    $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual> -Werror=return-type
                    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -Wno-missing-field-initializers)
if(BATCHSCOPE_WARNINGS_ARE_ERRORS)
  add_compile_options(-Werror)
endif()

if(BATCHSCOPE_SANITIZE)
  add_compile_options(-fsanitize=${BATCHSCOPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${BATCHSCOPE_SANITIZE})
  # Kernels are cloned per instruction set through ifunc, whose resolvers run before a sanitizer's runtime is up.
  add_compile_definitions(BATCHSCOPE_NO_TARGET_CLONES)
endif()
if(BATCHSCOPE_SANITIZE MATCHES "thread")
  # libgomp is not instrumented: ThreadSanitizer would report every OpenMP barrier, oneDNN's among them, as a race.
  # The thread build therefore computes matrix products and parallel loops with our own plain code.
  add_compile_definitions(BATCHSCOPE_WITHOUT_OPENMP)
endif()
if(BATCHSCOPE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD AND NOT BATCHSCOPE_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()
