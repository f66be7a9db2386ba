// Recognises mpirun and srun by the variables that they set.
#include "comm/launcher.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/shared_library.h"

namespace batchscope {
namespace {

constexpr const char* library = "libbatchscope_mpi.so";

std::optional<int> number_in(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// What a kind of launcher calls them.
struct Variables {
  const char *rank, *size, *local_rank;
};
constexpr Variables kinds[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
};

}  // namespace

std::optional<Launched> launched() {
  for (const Variables& kind : kinds) {
    const auto rank = number_in(kind.rank), size = number_in(kind.size);
    if (!rank || !size) continue;
    if (*size < 2 || *rank >= *size) return std::nullopt;
    return Launched{*rank, *size, number_in(kind.local_rank).value_or(*rank)};
  }
  return std::nullopt;
}

std::unique_ptr<MessagePasser> connect_by_mpi() {
  const auto path = own_library(library);
  if (path.empty())
    throw Failure("a launcher started this as one process of several, but there is no {} beside the program: build it "
                  "where MPI is installed (Debian: libopenmpi-dev), or start one process, whose ranks are threads",
                  library);
  // MPI's own plugins look for its symbols in the whole program.
  MakeMessagePasser* make = nullptr;
  try {
    SharedLibrary(path.string(), SharedLibrary::Symbols::global).resolve(make_message_passer_name, make);
  } catch (const Failure& failure) {
    throw Failure("{}; install MPI (Debian: libopenmpi3), or start one process, whose ranks are threads",
                  failure.what());
  }
  if (make == nullptr) throw Failure("{} belongs to another version of batchscope; rebuild both", path.string());
  std::unique_ptr<MessagePasser> passer(make());
  if (!passer) throw Failure("MPI does not start; its own words are above");
  return passer;
}

}  // namespace batchscope
