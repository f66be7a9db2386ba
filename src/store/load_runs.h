// Runs of the load generator in a .bscope file: what was asked of a server, and what became of each request.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// Requests that were sent to a server under load, all on one clock.
struct LoadRunRecord {
  std::int64_t id = 0;  // given by the store
  std::int64_t session = 0;
  std::string spec_json{};    // what was asked for: address, shape, lengths, seed; never a token
  Nanoseconds begin{0};       // monotonic; instants of the run's requests count from here
  Nanoseconds begin_unix{0};  // the same, since 1970; given by the reader
};

// A chunk of an answer: a server-sent event, or a body that was not streamed.
struct ChunkRecord {
  Nanoseconds at{0};
  std::optional<std::int64_t> tokens{};  // output tokens in it; absent: some, the server did not say how many
};

// One request of a load run as the client saw it. Instants since the run's begin; absent: it did not come to that.
struct LoadRequestRecord {
  std::int64_t position = 0;             // in the schedule
  std::string id_json{};                 // a JSON integer or string
  std::string outcome{};                 // "ok", or what went wrong: a word of load/outcome.h
  std::string detail{};                  // one line of the server or the client
  std::optional<std::int64_t> status{};  // HTTP's
  std::int64_t retries = 0;
  std::optional<std::int64_t> session{};              // whose requests follow one another
  Nanoseconds intended{0};                            // by the schedule
  std::optional<Nanoseconds> due{};                   // allowed to go: later than intended where a cap holds it back
  std::optional<Nanoseconds> started{};               // the client acted: took a connection, or began one
  std::optional<Nanoseconds> sent{};                  // its first byte went out
  std::optional<Nanoseconds> first_byte{};            // of the answer
  std::optional<Nanoseconds> end{};                   // the answer was whole, or the failure known
  std::optional<std::int64_t> asked_prompt_tokens{};  // sent as token ids
  std::int64_t asked_output_tokens = 0;
  std::optional<std::int64_t> prompt_tokens{}, output_tokens{};  // as the server counts
  std::string finish_reason{};
  std::vector<ChunkRecord> chunks{};  // in the order in which they came
};

// As StoreReader: what is committed, also while another process writes. InputError for what is wrong with the file.
class LoadRunReader {
 public:
  explicit LoadRunReader(const std::filesystem::path& path);
  ~LoadRunReader();
  std::vector<LoadRunRecord> runs() const;                          // none in a file of an older version
  std::vector<LoadRequestRecord> requests(std::int64_t run) const;  // in the order of the schedule

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace batchscope
