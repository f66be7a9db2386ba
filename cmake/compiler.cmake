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
set(options -fno-math-errno -fno-trapping-math -Wall -Wextra -Wpedantic -Werror=return-type
    -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND options -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)  # GCC 12 has them of std::string, wrongly
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # to which a file's own names then look like a header's
  list(APPEND options -Wshadow=local -Wno-subobject-linkage)
else()
  list(APPEND options -Wshadow)
endif()
if(BATCHSCOPE_WARNINGS_ARE_ERRORS)
  list(APPEND options -Werror)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${options}>"
                    "$<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Woverloaded-virtual>")

# A mistake of ours that a hostile file or server reaches shall end the program, not run its code: checked copies and
# stacks, addresses that differ from run to run, tables of functions that nothing can write to. In the flags of the
# configuration, which stand before the -fPIC of what is loaded at run time. Libraries that nothing uses are not loaded.
foreach(language C CXX)
  string(APPEND CMAKE_${language}_FLAGS_RELEASE " -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE")
endforeach()
string(APPEND CMAKE_EXE_LINKER_FLAGS_RELEASE " -pie")
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)

if(BATCHSCOPE_SANITIZE)
  add_compile_options(-fsanitize=${BATCHSCOPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # which then sees uninitialised states of std::regex that are none
  endif()
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

# The CUDA library has copies of what the program has. Nothing of ours is there to be interposed.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fno-semantic-interposition>)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  # What it has to overlook so that precompiled headers do not keep it from its work.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()
find_program(MOLD mold)
if(MOLD AND NOT BATCHSCOPE_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()
