// Signatures of files (base/file_kind.h).
#include "base/file_kind.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

struct Kind {
  std::string_view begin;
  const char* is;
  const char* to_do;
};
using namespace std::string_view_literals;
constexpr std::array kinds{
    Kind{"version https://git-lfs.github.com/spec"sv, "a Git LFS pointer, not the file itself",
         "fetch it with: git lfs pull (or: hf download)"},
    Kind{"PK\x03\x04"sv, "a zip archive (or a PyTorch checkpoint)", "unpack it; weights must be safetensors or GGUF"},
    Kind{"PAR1"sv, "a Parquet file",
         "write it as JSON lines, for example with pandas: to_json(orient='records', lines=True)"},
    Kind{"ARROW1"sv, "an Arrow file", "write it as JSON lines, for example with datasets: to_json()"},
    Kind{"\x28\xb5\x2f\xfd"sv, "compressed by zstd", "unpack it first: zstd -d"},
    Kind{"\x1f\x8b"sv, "compressed by gzip", "unpack it first: gunzip"},
    Kind{"BZh"sv, "compressed by bzip2", "unpack it first: bunzip2"},
    Kind{"\xfd"
         "7zXZ"sv,
         "compressed by xz", "unpack it first: xz -d"},
    Kind{"\x80\x02"sv, "a pickle (PyTorch's older format)", "convert the weights to safetensors"},
    Kind{"\x89HDF"sv, "an HDF5 file", "convert the weights to safetensors"},
    Kind{"\x7f"
         "ELF"sv,
         "a program or library", "name the right file"},
    Kind{"%PDF"sv, "a PDF", "name the right file"},
};
constexpr std::array pages{"<!doctype"sv, "<html"sv, "<?xml"sv};

bool begins_like(std::string_view text, std::string_view begin) {
  return text.size() >= begin.size() && std::equal(begin.begin(), begin.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

[[noreturn]] void refuse(std::string_view origin, std::string_view is, std::string_view to_do) {
  throw InputError("{}: it is {}; {}", origin, is, to_do);
}

// Two bytes a character: with a mark at the begin, or zeros at every second place.
bool is_utf16(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return true;
  const bool zeros = text.size() >= 4 && ((text[1] == 0 && text[3] == 0) || (text[0] == 0 && text[2] == 0));
  return zeros && (text[0] == '{' || text[0] == '[' || text[1] == '{' || text[1] == '[');
}

}  // namespace

void refuse_foreign_kind(std::string_view content, std::string_view origin) {
  for (const Kind& kind : kinds)
    if (content.starts_with(kind.begin)) refuse(origin, kind.is, kind.to_do);
  const std::string_view text = content.substr(std::min(content.find_first_not_of(" \t\r\n"), content.size()));
  for (const std::string_view page : pages)
    if (begins_like(text, page))
      refuse(origin, "a web page, as servers send in place of a file that they refuse",
             "download the file again, logged in if need be");
}

void refuse_foreign_kind(std::span<const std::byte> content, std::string_view origin) {
  refuse_foreign_kind(std::string_view(reinterpret_cast<const char*>(content.data()), content.size()), origin);
}

void refuse_foreign_text(std::string_view content, std::string_view origin) {
  refuse_foreign_kind(content, origin);
  if (is_utf16(content)) refuse(origin, "text in UTF-16", "convert it to UTF-8: iconv -f utf-16 -t utf-8");
}

}  // namespace batchscope
