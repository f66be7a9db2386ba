// Which devices a user names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// "cpu:4" four virtual devices; "cuda:0,1" GPUs by number, "cuda:0,0" one that two ranks share.
struct DeviceSpec {
  std::string kind = "cpu";        // "cpu" | "cuda"
  std::vector<int> numbers = {0};  // one a device
  int count() const { return static_cast<int>(numbers.size()); }
  std::string name(int index) const;  // "cpu:0"; of a GPU that is shared "cuda:0.0", "cuda:0.1"
  int sharers() const;                // the most devices of one number
};
DeviceSpec parse_device(std::string_view text);
std::string to_string(const DeviceSpec& device);

}  // namespace batchscope
