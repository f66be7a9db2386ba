# Puts text files into the program.
# batchscope_embed(TARGET HEADER_NAME name=file;file… …): each name is a std::string_view of its files, one after the
# other, in namespace batchscope::embedded; TARGET's sources include "embedded/HEADER_NAME.h".
function(batchscope_embed target header)
  set(folder ${CMAKE_BINARY_DIR}/generated/embedded)
  set(inputs ${ARGN})
  list(TRANSFORM inputs REPLACE "^[a-z_]+=" "")
  add_custom_command(
    OUTPUT ${folder}/${header}.cc ${folder}/${header}.h
    COMMAND ${CMAKE_COMMAND} "-DENTRIES=${ARGN}" -DHEADER=${header} -DFOLDER=${folder}
            -P ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
    VERBATIM COMMENT "")
  target_sources(${target} PRIVATE ${folder}/${header}.cc ${folder}/${header}.h)
  target_include_directories(${target} PUBLIC ${CMAKE_BINARY_DIR}/generated)
endfunction()

# batchscope_find_script(VARIABLE PACKAGE names…): a script or style sheet of a Debian package.
function(batchscope_find_script variable package)
  find_file(${variable} NAMES ${ARGN}
            PATHS /usr/share/javascript /usr/share/nodejs /usr/local/share/javascript
            PATH_SUFFIXES dygraphs dygraphs/dist NO_DEFAULT_PATH)
  if(NOT ${variable})
    message(FATAL_ERROR "the HTML report needs ${ARGN}, which is not there: install the package ${package} "
                        "(./build.sh does), or set -D${variable}=FILE")
  endif()
endfunction()
