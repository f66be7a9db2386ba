// Link settings to JSON and back (study/link_json.h).
#include "study/link_json.h"

#include <algorithm>
#include <array>
#include <limits>

#include "study/json_optional.h"

namespace batchscope {

nlohmann::json link_json(const LinkSpec& link) {
  return {{"kind", link.kind ? nlohmann::json(std::string(name_of(*link.kind))) : nlohmann::json(nullptr)},
          {"bytes_per_second", json_or_null(link.bytes_per_second)},
          {"latency_ns", link.latency.count()}};
}

LinkSpec link_from_json(const JsonObject& fields) {
  LinkSpec link;
  if (const auto name = maybe_text(fields, "kind")) {
    constexpr std::array kinds{LinkKind::virtual_link, LinkKind::nvlink, LinkKind::pcie, LinkKind::nic};
    const auto found = std::find_if(kinds.begin(), kinds.end(), [&](LinkKind kind) { return name_of(kind) == *name; });
    if (found == kinds.end()) fields.refuse("kind", "virtual, nvlink, pcie or nic");
    link.kind = *found;
  }
  if (fields.has("bytes_per_second"))
    link.bytes_per_second = fields.number("bytes_per_second", 0, std::numeric_limits<double>::max());
  link.latency = Nanoseconds(fields.integer("latency_ns", 0, any_integer));
  return link;
}

}  // namespace batchscope
