// Starts the program anew with OpenMP threads that sleep while they wait.
#include "cli/openmp_wait.h"

#include <unistd.h>

#include <cstdlib>

namespace batchscope::cli {

void wait_briefly_in_openmp(char** arguments) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "10000", 0);  // a quarter of a millisecond
  execv("/proc/self/exe", arguments);
}

}  // namespace batchscope::cli
