// The tables of a .bscope file: the one place where they are defined. docs/formats.md explains them.
#pragma once

#include <cstdint>
#include <span>

namespace batchscope {

constexpr std::int64_t bscope_application_id = 0x62736370;  // "bscp": tells our files from other SQLite databases
constexpr std::int64_t bscope_version = 1;                  // user_version; grows with each change of the tables

struct SchemaObject {
  const char* type;  // "table" | "index"
  const char* name;
  const char* sql;
};
std::span<const SchemaObject> schema_objects();

}  // namespace batchscope
