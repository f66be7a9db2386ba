// The house: which folder of src/ may use which. The table of docs/architecture.md, CMakeLists.txt and the includes say
// the same, down to nothing unused; and no two types share a name.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

const fs::path root = BATCHSCOPE_SOURCE_DIR;

using Folders = std::set<std::string>;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The rows of the table of folders, in its order.
std::vector<std::string> folders_of_the_table() {
  std::vector<std::string> folders;
  bool is_there = false;
  for (const std::string& line : lines_of(read_file(root / "docs/architecture.md"))) {
    if (line == "| folder | what is in it |") is_there = true;
    if (is_there && line.empty()) break;
    if (is_there && line.starts_with("| `")) folders.push_back(line.substr(3, line.find('/') - 3));
  }
  return folders;
}

// What CMakeLists.txt says of a folder: what its library needs, and what its tests need besides.
struct Edges {
  Folders library, tests;
};

std::map<std::string, Edges> edges_of_cmake() {
  std::map<std::string, Edges> all;
  constexpr std::string_view call = "batchscope_folder(";
  const std::string text = read_file(root / "CMakeLists.txt");
  for (std::size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
    const std::size_t begin = at + call.size();
    std::istringstream words(text.substr(begin, text.find(')', begin) - begin));
    std::string name, keyword;
    words >> name;
    Edges& edges = all[name];
    for (std::string word; words >> word;) {
      if (word == "NEEDS" || word == "TESTS" || word == "LINK" || word == "OWN" || word == "COMPUTES")
        keyword = word;
      else if (keyword == "NEEDS")
        edges.library.insert(word);
      else if (keyword == "TESTS")
        edges.tests.insert(word);
    }
  }
  return all;
}

bool is_source(const fs::path& path) {
  const std::string ending = path.extension();
  return ending == ".h" || ending == ".cc" || ending == ".cu" || ending == ".cuh" || ending == ".c";
}

bool is_of_tests(const fs::path& path) {
  const std::string name = path.filename();
  return name.find("_test.") != std::string::npos || name.ends_with("_fuzz.cc") || name.starts_with("test_") ||
         name.starts_with("fake_") || path.string().find("/fake/") != std::string::npos;
}

// The folders that a file includes, but its own.
Folders included_by(const fs::path& path, const std::string& own) {
  Folders folders;
  for (const std::string& line : lines_of(read_file(path))) {
    if (!line.starts_with("#include \"")) continue;
    const std::string file = line.substr(10, line.find('"', 10) - 10);
    const std::string folder = file.substr(0, std::min(file.find('/'), file.size()));
    if (folder != own && fs::exists(root / "src" / file)) folders.insert(folder);
  }
  return folders;
}

template <class Visit>
void for_each_source(const fs::path& folder, const Visit& visit) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && is_source(entry.path())) visit(entry.path());
}

TEST(House, TheTableIsTheOrderOfTheLibraries) {
  const std::vector<std::string> table = folders_of_the_table();
  const auto edges = edges_of_cmake();
  Folders above, there;
  for (const std::string& folder : table) {
    ASSERT_TRUE(edges.contains(folder)) << folder << " is in docs/architecture.md and not in CMakeLists.txt";
    for (const std::string& needed : edges.at(folder).library)
      EXPECT_TRUE(above.contains(needed)) << folder << " needs " << needed << ", which does not stand above it";
    above.insert(folder);
  }
  EXPECT_EQ(above.size(), edges.size()) << "docs/architecture.md has a row for each folder";
  for (const auto& entry : fs::directory_iterator(root / "src"))
    if (entry.is_directory()) there.insert(entry.path().filename());
  EXPECT_EQ(there, above);
}

TEST(House, IncludesAreTheEdges) {
  for (const auto& [folder, edges] : edges_of_cmake()) {
    Folders unused = edges.library, unused_by_tests = edges.tests;
    for_each_source(root / "src" / folder, [&, &name = folder, &known = edges](const fs::path& path) {
      for (const std::string& included : included_by(path, name)) {
        const bool is_known = known.library.contains(included) || (is_of_tests(path) && known.tests.contains(included));
        EXPECT_TRUE(is_known) << path << " includes " << included << "/, which CMakeLists.txt does not say of " << name;
        (is_of_tests(path) ? unused_by_tests : unused).erase(included);
      }
    });
    for (const std::string& needed : unused)
      ADD_FAILURE() << folder << " needs " << needed << " and includes nothing of it";
    for (const std::string& needed : unused_by_tests)
      ADD_FAILURE() << "the tests of " << folder << " need " << needed << " and include nothing of it";
    for (const std::string& needed : edges.tests)
      EXPECT_FALSE(edges.library.contains(needed))
          << "what the library needs its tests have: " << folder << ", " << needed;
  }
}

// The namespace that a line opens, "" for one without a name; absent where it opens none.
std::optional<std::string> opened_namespace(const std::string& line) {
  if (!line.starts_with("namespace ") || !line.ends_with("{")) return std::nullopt;
  const std::string name = line.substr(10, line.size() - 11);
  return name.substr(0, name.find_last_not_of(' ') + 1);
}

// The name of the type that a line at a namespace's level begins to define.
std::optional<std::string> defined_type(const std::string& line) {
  if (line.starts_with(" ")) return std::nullopt;  // within something else
  std::istringstream words(line);
  std::string kind, name, next;
  words >> kind >> name;
  if (kind == "enum" && name == "class") words >> name;
  if (kind != "class" && kind != "struct" && kind != "enum" && kind != "union") return std::nullopt;
  words >> next;
  if (name.find_first_of(":<;") != std::string::npos || (next != "{" && next != ":" && next != "final"))
    return std::nullopt;
  return name;
}

TEST(House, TypesHaveNamesOfTheirOwn) {
  std::map<std::string, std::string> places;  // by namespace and name
  std::size_t types = 0;
  for_each_source(root / "src", [&](const fs::path& path) {
    std::vector<std::string> namespaces;
    for (const std::string& line : lines_of(read_file(path))) {
      if (const auto opened = opened_namespace(line)) namespaces.push_back(*opened);
      if (line.starts_with("}  // namespace") && !namespaces.empty()) namespaces.pop_back();
      const bool is_unnamed = std::find(namespaces.begin(), namespaces.end(), "") != namespaces.end();
      const auto type = namespaces.empty() || is_unnamed ? std::nullopt : defined_type(line);
      if (!type) continue;
      ++types;
      std::string name;
      for (const std::string& part : namespaces) name += part + "::";
      const auto [found, is_new] = places.emplace(name + *type, path.string());
      EXPECT_TRUE(is_new) << name << *type << " is in " << path << " and in " << found->second;
    }
  });
  EXPECT_GT(types, 300U);  // a reader that finds none would like everything
}

}  // namespace
}  // namespace batchscope
