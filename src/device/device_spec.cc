// Reading and printing of devices' names.
#include "device/device_spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/comma_list.h"
#include "base/error.h"
#include "base/units.h"

namespace batchscope {

std::string DeviceSpec::name(int index) const {
  const int number = numbers.at(static_cast<std::size_t>(index));
  std::string name = fmt::format("{}:{}", kind, number);
  if (std::count(numbers.begin(), numbers.end(), number) > 1)
    name += fmt::format(".{}", std::count(numbers.begin(), numbers.begin() + index, number));
  return name;
}

int DeviceSpec::sharers() const {
  std::ptrdiff_t most = 0;
  for (const int number : numbers) most = std::max(most, std::count(numbers.begin(), numbers.end(), number));
  return static_cast<int>(most);
}

DeviceSpec parse_device(std::string_view text) {
  const auto colon = std::min(text.find(':'), text.size());
  DeviceSpec device{.kind = std::string(text.substr(0, colon)), .numbers = {}};
  if (device.kind != "cpu" && device.kind != "cuda")
    throw InputError("--device: '{}' is not known; write cpu:4 (four virtual devices) or cuda:0,1", text);
  const auto rest = colon < text.size() ? text.substr(colon + 1) : (device.kind == "cpu" ? "1" : "0");
  if (device.kind == "cpu") {
    const auto count = parse_integer(rest, 1, 1024, "--device cpu");
    for (int number = 0; number < count; ++number) device.numbers.push_back(number);
  } else {
    for_each_part(rest, [&](std::string_view number) {
      device.numbers.push_back(static_cast<int>(parse_integer(number, 0, 1023, "--device cuda")));
    });
  }
  return device;
}

std::string to_string(const DeviceSpec& device) {
  if (device.kind == "cpu") return fmt::format("cpu:{}", device.count());
  return fmt::format("{}:{}", device.kind, fmt::join(device.numbers, ","));
}

}  // namespace batchscope
