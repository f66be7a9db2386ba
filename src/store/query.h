// One SELECT over a .bscope file, as a user wrote it: it can read all that the file holds and change nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace batchscope {

struct SqlBlob {
  std::int64_t bytes = 0;
};
// std::monostate is NULL. Text is as the file has it: any bytes.
using SqlValue = std::variant<std::monostate, std::int64_t, double, std::string, SqlBlob>;

// InputError for what SQLite refuses, for anything but one statement that reads, and for a file that StoreReader would
// refuse. The views are there whatever the version of the file.
class StoreQuery {
 public:
  StoreQuery(const std::filesystem::path& path, const std::string& sql);
  ~StoreQuery();
  StoreQuery(StoreQuery&&) noexcept;

  const std::vector<std::string>& columns() const;
  bool next(std::vector<SqlValue>& row);  // false, and an empty row, after the last one

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace batchscope
