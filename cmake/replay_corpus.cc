// Runs a fuzz target over its corpus where libFuzzer is not linked: every file given, or every file of a folder given.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

static int replay(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return 1;
}

int main(int count, char** arguments) {
  int files = 0;
  for (int i = 1; i < count; ++i) {
    const std::filesystem::path path(arguments[i]);
    if (!std::filesystem::is_directory(path)) {
      files += replay(path);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) files += replay(entry.path());
  }
  std::printf("%d corpus files replayed\n", files);
  return files > 0 ? 0 : 1;
}
