// --link: reading and printing.
#include "device/link.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

// The shortest digits, without an exponent, that are read back as the same number: cells are told apart by this text.
std::string decimal(double value) {
  std::array<char, 400> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed).ptr;
  return {digits.data(), end};
}

}  // namespace

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
  const double bytes = *link.bytes_per_second, gigabytes = bytes / 1e9;
  const std::string pace = gigabytes * 1e9 == bytes ? decimal(gigabytes) + "GB/s" : decimal(bytes) + "B/s";
  return fmt::format("{},{}us", pace, decimal(static_cast<double>(link.latency.count()) / 1e3));
}

}  // namespace batchscope
