// What a result was made with: an allow-list of facts. Command lines and variables are never among them: they hold
// secrets.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace batchscope {

// "0.1.0 (git 1a2b3c4)"; the revision only when the build knew it.
std::string version_text();

// Facts of this machine and build by name; one that cannot be had is left out.
std::map<std::string, std::string> environment();
nlohmann::json environment_json();

}  // namespace batchscope
