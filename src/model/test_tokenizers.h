// Small tokenizers that tests read (tools/tokenizer_testdata.py makes them).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace batchscope {

using Ids = std::vector<std::int32_t>;

inline const std::filesystem::path testdata =
    std::filesystem::path(BATCHSCOPE_SOURCE_DIR) / "src/model/testdata/tokenizers";

}  // namespace batchscope
