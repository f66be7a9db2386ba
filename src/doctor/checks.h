// What batchscope can do on this machine, and why not: `doctor` and `devices` print it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace batchscope {

struct Check {
  std::string id{};  // stable: scripts depend on it
  bool present = false;
  bool needed = false;  // for what batchscope can do on this machine: when absent, doctor is unhappy
  std::string what{};   // what it is and what it is for
  std::string why{};    // what was found, or why it is absent
  std::string to_do{};  // "" when there is nothing to do
};
std::vector<Check> run_checks();

}  // namespace batchscope
