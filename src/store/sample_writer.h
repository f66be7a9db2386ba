// How samples reach the file: small chunks at each commit, so that little is lost; every minute or so they are
// replaced by one large chunk, which compresses better and is quicker to read.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "store/database.h"
#include "store/records.h"

namespace batchscope::store {

class SampleWriter {
 public:
  explicit SampleWriter(SQLite::Database& database);

  // To be called within a transaction, followed by committed() or by rolled_back().
  void append(const SampleBlock& block);
  void seal_all();
  void committed() { undo_.clear(); }
  void rolled_back();

 private:
  static constexpr std::size_t small_chunks_a_large_one = 64;

  // What was written since the last large chunk, by the series that are read together.
  struct Pending {
    SampleBlock block;
    std::vector<std::int64_t> ticks;                      // rows of the small chunks
    std::vector<std::int64_t> chunks;                     // likewise
    std::size_t small_chunks = small_chunks_a_large_one;  // to be replaced by a large one
  };
  using Key = std::vector<std::int64_t>;  // the series of a block

  void insert(const SampleBlock& block, Pending& rows);
  void seal(Pending& pending);

  SQLite::Database& database_;
  SQLite::Statement add_ticks_, add_chunk_, add_data_;
  std::map<Key, Pending> pending_;
  std::map<Key, Pending> undo_;  // as they were before the transaction
};

}  // namespace batchscope::store
