// The tables and views of a .bscope file: the one place where they are defined. docs/formats.md explains them.
#pragma once

#include <cstdint>
#include <span>

namespace batchscope {

constexpr std::int64_t bscope_application_id = 0x62736370;  // "bscp": tells our files from other SQLite databases
constexpr std::int64_t bscope_version = 2;  // user_version; grows with each change of the tables or views

struct SchemaObject {
  std::int64_t since;  // the version that it came with; it never changes after
  const char* type;    // "table" | "index" | "view"
  const char* name;
  const char* sql;
};
// In an order in which they can be made.
std::span<const SchemaObject> schema_objects();

}  // namespace batchscope
