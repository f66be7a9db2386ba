// The tables and views of a .bscope file: the one place where they are defined. docs/formats.md explains them.
#pragma once

#include <cstdint>
#include <span>

namespace batchscope {

constexpr std::int64_t bscope_application_id = 0x62736370;  // "bscp": tells our files from other SQLite databases
constexpr std::int64_t bscope_version = 4;  // user_version; grows with each change of the tables or views
constexpr std::int64_t first_version_with_requests = 3;
constexpr std::int64_t first_version_with_load_runs = 4;

struct SchemaObject {
  std::int64_t since;  // the version that it came with; it never changes after
  const char* type;    // "table" | "index" | "view"
  const char* name;
  const char* sql;
  std::int64_t replaces = 0;  // of a view: the version that had another one of its name before; 0: none
};
// In an order in which they can be made.
std::span<const SchemaObject> schema_objects();

}  // namespace batchscope
