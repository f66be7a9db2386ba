// --link: reading and printing.
#include "device/link.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/units.h"

namespace batchscope {

std::string_view name_of(LinkKind kind) {
  switch (kind) {
    case LinkKind::virtual_link:
      return "virtual";
    case LinkKind::nvlink:
      return "nvlink";
    case LinkKind::pcie:
      return "pcie";
    case LinkKind::nic:
      return "nic";
  }
  return "?";
}

LinkSpec parse_link(std::string_view text) {
  if (text.empty() || text == "unpaced") return {};
  if (text == "nvlink") return {.kind = LinkKind::nvlink};
  if (text == "pcie") return {.kind = LinkKind::pcie};
  const auto comma = text.find(',');
  LinkSpec link{.bytes_per_second = parse_bandwidth(text.substr(0, comma), "--link")};
  if (comma != std::string_view::npos) link.latency = parse_duration(text.substr(comma + 1), "--link");
  return link;
}

std::string to_string(const LinkSpec& link) {
  if (link.kind) return std::string(name_of(*link.kind));
  if (!link.bytes_per_second) return "unpaced";
  return fmt::format("{:g}GB/s,{:g}us", *link.bytes_per_second / 1e9, to_seconds(link.latency) * 1e6);
}

}  // namespace batchscope
