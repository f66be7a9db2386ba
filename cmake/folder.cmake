# batchscope_folder(NAME [COMPUTES] NEEDS folders… LINK libraries…): src/NAME as a library; NAME/*_test.cc as one test program,
# each NAME/*_fuzz.cc as one fuzz target. Files are found by name, so adding one needs no edit here. What stands in a
# folder fake/ plays another's library: batchscope_NAME_fake, which only tests and fuzz targets use.
include(GoogleTest)

# Every test program but that of the whole program, which sanitizers run only when asked for (./test --all).
add_custom_target(folder_tests)

function(batchscope_folder name)
  cmake_parse_arguments(ARG "COMPUTES" "" "NEEDS;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  set(fuzzers ${sources})
  set(fakes ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|/main)\\.cc$")
  list(FILTER fakes INCLUDE REGEX "/src/${name}/(.*/)?fake/[^/]+$")
  list(FILTER fakes EXCLUDE REGEX "(_test|_fuzz)\\.cc$")
  if(fakes)
    list(REMOVE_ITEM sources ${fakes})
  endif()
  list(TRANSFORM ARG_NEEDS PREPEND batchscope_)

  if(sources)
    add_library(batchscope_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(batchscope_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(batchscope_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  if(BATCHSCOPE_SANITIZE AND sources AND NOT ARG_COMPUTES)  # where compiling takes longer than running
    target_compile_options(batchscope_${name} PRIVATE -O0)
  endif()
  target_link_libraries(batchscope_${name} ${scope} ${ARG_NEEDS} ${ARG_LINK} Threads::Threads)

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
    target_link_libraries(${name}_test PRIVATE ${tested} GTest::gtest GTest::gmock GTest::gtest_main rapidcheck)
    target_compile_options(${name}_test PRIVATE -O0)  # compiling tests takes longer than running them
    target_compile_definitions(${name}_test PRIVATE BATCHSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    if(NOT name STREQUAL cli)
      add_dependencies(folder_tests ${name}_test)
    endif()
    # RC_PARAMS: RapidCheck draws the same cases every time; to look further, run the test program with another seed.
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST
      PROPERTIES TIMEOUT 600 LABELS ${name} ENVIRONMENT "RC_PARAMS=seed=1;GOMP_SPINCOUNT=1000")
  endif()

  foreach(fuzzer ${fuzzers})
    get_filename_component(target ${fuzzer} NAME_WE)
    set(corpus ${CMAKE_SOURCE_DIR}/src/${name}/corpus/${target})
    add_executable(${target} ${fuzzer})
    target_link_libraries(${target} PRIVATE ${tested})
    if(BATCHSCOPE_FUZZ)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()  # without libFuzzer the same target replays its corpus, as a test
      target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/replay_corpus.cc)
      add_test(NAME ${target} COMMAND ${target} ${corpus})
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
