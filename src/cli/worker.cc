// `batchscope worker`: hidden; a study starts it to run cells (study/worker.h).
#include "study/worker.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/processes.h"
#include "engine/engine.h"

namespace batchscope::cli {

void add_worker(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("worker", "runs the cells that a study sends on standard input");
  command->footer("Example:\n  batchscope study studies/demo.toml starts its own workers");
  command->callback([&exit_code] {
    // Answers keep the pipe; whatever else prints to standard output goes to standard error.
    const int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) throw Failure("worker: no standard output to answer on");
    in_every_process([&](World* world) {
      serve_worker(
          STDIN_FILENO, out, [&](const EngineSpec& spec) { return make_engine(spec, world); }, world, own_reference);
    });
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
