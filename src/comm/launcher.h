// Whether a launcher (mpirun, srun) started this program as one process of several, and how these find each other.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "comm/message_passer.h"

namespace batchscope {

struct Launched {
  int rank = 0, size = 1;
  int local_rank = 0;  // among those of its host
};
// From what launchers put into the environment; absent where this process is the only one. Inside sbatch's script itself
// there is one process, whatever the job was given.
std::optional<Launched> launched();

// Starts MPI by the library beside the program; Failure, with what to do, where it is missing.
std::unique_ptr<MessagePasser> connect_by_mpi();

}  // namespace batchscope
