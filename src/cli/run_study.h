// Running a study into a .bscope file, as the verbs that do it share it.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "study/study_file.h"
#include "study/worker_process.h"

namespace batchscope::cli {

// Everything that is not in the file yet, in worker processes, with time series and progress. Input that cannot be used
// is an InputError before there is a file; Interrupted says how to go on.
// `launcher`: of workers whose ranks are processes. `retries_failed`: cells that failed or timed out run again.
void run_study(const StudySpec& study, const std::filesystem::path& path, std::string_view verb,
               const std::optional<Launcher>& launcher = {}, bool retries_failed = false);

}  // namespace batchscope::cli
