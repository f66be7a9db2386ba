// How threads wait for each other between the loops that they share.
#pragma once

namespace batchscope::cli {

// Starts the program anew with a short spin (GOMP_SPINCOUNT), where the user has not set how OpenMP waits; returns in the
// new start, or where there can be none. By default libgomp's threads spin for milliseconds: beside any other busy
// process they take the very CPU that the one they wait for needs. It reads the setting before main() begins.
void wait_briefly_in_openmp(char** arguments);

}  // namespace batchscope::cli
