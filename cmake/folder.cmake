# batchscope_folder(NAME [COMPUTES|SIMULATES] NEEDS folders… TESTS folders… LINK libraries… OWN libraries…): src/NAME as a
# library, optimised under sanitizers, too, where it COMPUTES or its tests simulate (SIMULATES) for minutes. It
# includes of src/ what it NEEDS and nothing else, and its tests what TESTS says besides (base/house_test.cc compares both with
# the includes); NAME/*_test.cc as one test program, each NAME/*_fuzz.cc as one fuzz target. Files are found by name, so
# adding one needs no edit here. What stands in a folder fake/ plays another's library: batchscope_NAME_fake, which only tests
# and fuzz targets use; what stands in plugin/ is a shared library of its own, loaded at run time, which CMakeLists.txt makes.
# Libraries that are its OWN are used by no header that others read.
#
# All presets but debug and fuzz give the compiler several files of a library at a time (CMAKE_UNITY_BUILD), which takes half as
# long, since what they share, templates of JSON and fmt above all, is made once. So names in anonymous namespaces differ within
# a folder, but for tests.
include(GoogleTest)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)

# Every test program but that of the whole program, which sanitizers run only when asked for (./test --all); and those that
# ./test runs in release: of the whole program, of studies, and of folders that compute, where optimised code is other code.
add_custom_target(folder_tests)
add_custom_target(optimised_tests)

# batchscope_precompile(TARGET KIND): the headers of cmake/precompiled.h, read once for all targets of that kind, which are
# compiled with the same options; the first of them has no definition that another lacks. Fuzz targets go without, so that a
# file that lacks an include is found.
function(batchscope_precompile target kind)
  if(BATCHSCOPE_FUZZ)
    return()
  endif()
  get_property(first GLOBAL PROPERTY batchscope_precompiled_${kind})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    set(headers ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
    if(kind STREQUAL "tests")
      list(APPEND headers <gtest/gtest.h> <gmock/gmock.h>)
    endif()
    target_precompile_headers(${target} PRIVATE ${headers})
    set_property(GLOBAL PROPERTY batchscope_precompiled_${kind} ${target})
  endif()
endfunction()

function(batchscope_folder name)
  cmake_parse_arguments(ARG "COMPUTES;SIMULATES" "" "NEEDS;TESTS;LINK;OWN" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/plugin/")
  set(tests ${sources})
  set(fuzzers ${sources})
  set(fakes ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_gpu_test\\.cc$")  # of the CUDA library (cuda.cmake)
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|/main)\\.cc$")
  list(FILTER fakes INCLUDE REGEX "/src/${name}/(.*/)?fake/[^/]+$")
  list(FILTER fakes EXCLUDE REGEX "(_test|_fuzz)\\.cc$")
  if(fakes)
    list(REMOVE_ITEM sources ${fakes})
  endif()
  list(TRANSFORM ARG_NEEDS PREPEND batchscope_)
  list(TRANSFORM ARG_TESTS PREPEND batchscope_)

  if(sources)
    add_library(batchscope_${name} STATIC ${sources})
    set(scope PUBLIC)
    set(kind plain)
    if(ARG_OWN)
      set(kind threaded)
    elseif(BATCHSCOPE_SANITIZE AND ARG_COMPUTES)
      set(kind computing)
    elseif(BATCHSCOPE_SANITIZE AND ARG_SIMULATES)
      set(kind simulating)
    endif()
    batchscope_precompile(batchscope_${name} ${kind})
    if(ARG_OWN)  # loops over elements, whose speed shall not depend on their neighbours in a list of files
      set_target_properties(batchscope_${name} PROPERTIES UNITY_BUILD OFF)
    endif()
  else()
    add_library(batchscope_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(batchscope_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  if(BATCHSCOPE_SANITIZE AND sources AND NOT ARG_COMPUTES AND NOT ARG_SIMULATES)  # where compiling takes longer than running
    target_compile_options(batchscope_${name} PRIVATE -O0)
  endif()
  target_link_libraries(batchscope_${name} ${scope} ${ARG_NEEDS} ${ARG_LINK} Threads::Threads)
  if(ARG_OWN)
    target_link_libraries(batchscope_${name} PRIVATE ${ARG_OWN})
  endif()

  set(tested batchscope_${name})
  if(fakes)
    add_library(batchscope_${name}_fake STATIC ${fakes})
    set_target_properties(batchscope_${name}_fake PROPERTIES
      POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_link_libraries(batchscope_${name}_fake PUBLIC batchscope_${name})
    list(PREPEND tested batchscope_${name}_fake)
  endif()

  if(tests AND NOT BATCHSCOPE_FUZZ)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${tested} ${ARG_TESTS} GTest::gtest GTest::gmock GTest::gtest_main rapidcheck)
    # Compiling tests takes longer than running them; glibc's checks of copies need an optimiser.
    target_compile_options(${name}_test PRIVATE -O0 -U_FORTIFY_SOURCE)
    target_compile_definitions(${name}_test PRIVATE BATCHSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    batchscope_precompile(${name}_test tests)
    if(NOT name STREQUAL cli)
      add_dependencies(folder_tests ${name}_test)
    endif()
    if(name MATCHES "^(cli|study)$" OR ARG_COMPUTES)
      add_dependencies(optimised_tests ${name}_test)
    endif()
    # RC_PARAMS: RapidCheck draws the same cases every time; to look further, run the test program with another seed.
    # Ranks that are processes are tests of their own, under mpirun (CMakeLists.txt).
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_FILTER "-ByProcesses.*"
      PROPERTIES TIMEOUT 600 LABELS ${name} ENVIRONMENT "RC_PARAMS=seed=1;GOMP_SPINCOUNT=1000")
  endif()

  foreach(fuzzer ${fuzzers})
    get_filename_component(target ${fuzzer} NAME_WE)
    set(corpus ${CMAKE_SOURCE_DIR}/src/${name}/corpus/${target})
    add_executable(${target} ${fuzzer})
    target_link_libraries(${target} PRIVATE ${tested} ${ARG_TESTS})
    target_compile_definitions(${target} PRIVATE BATCHSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    if(BATCHSCOPE_FUZZ)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()  # without libFuzzer the same target replays its corpus, as a test
      target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/replay_corpus.cc)
      if(BATCHSCOPE_SANITIZE)  # as plain libraries
        target_compile_options(${target} PRIVATE -O0)
      endif()
      add_test(NAME ${target} COMMAND ${target} ${corpus})
      set_tests_properties(${target} PROPERTIES LABELS corpus)
      add_dependencies(folder_tests ${target})
    endif()
  endforeach()
endfunction()

# batchscope_program(NAME FOLDER): the program whose main stands in src/FOLDER/main.cc.
function(batchscope_program name folder)
  if(NOT BATCHSCOPE_FUZZ AND EXISTS ${CMAKE_SOURCE_DIR}/src/${folder}/main.cc)
    add_executable(${name} ${CMAKE_SOURCE_DIR}/src/${folder}/main.cc)
    target_link_libraries(${name} PRIVATE batchscope_${folder})
  endif()
endfunction()
