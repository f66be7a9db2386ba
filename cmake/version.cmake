# Run at every build: writes OUTPUT (a header with the version and the git revision) only when it would change.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(revision "")
endif()
set(text "// Made by cmake/version.cmake.\n#pragma once\n#define BATCHSCOPE_VERSION \"${VERSION}\"\n\
#define BATCHSCOPE_REVISION \"${revision}\"\n#define BATCHSCOPE_BUILD_TYPE \"${BUILD_TYPE}\"\n\
#define BATCHSCOPE_ONEDNN_VERSION \"${ONEDNN}\"\n")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
