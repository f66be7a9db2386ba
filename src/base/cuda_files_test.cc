// Where CUDA's libraries are looked for: a machine made of folders.
#include "base/cuda_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>

namespace batchscope {
namespace {

using testing::ElementsAre;

class CudaFiles : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string add(const std::string& file) {
    const auto path = root_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "a library";
    return path.string();
  }
  std::vector<std::string> find(const std::string& program = "/nowhere/bin/batchscope") {
    constexpr std::array<std::string_view, 2> names{"libx.so.13", "libx.so.12"};
    return cuda_files(names, {.variable =
                                  [this](const char* name) {
                                    const auto found = environment_.find(name);
                                    return found == environment_.end() ? nullptr : found->second.c_str();
                                  },
                              .root = root_,
                              .program = program});
  }

  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("batchscope-cuda-files-" + std::to_string(getpid()));
  std::map<std::string, std::string> environment_;
};

TEST_F(CudaFiles, TheLoadersOwnPlacesComeFirstAndAreAllThatThereIsElsewhere) {
  EXPECT_THAT(find(), ElementsAre("libx.so.13", "libx.so.12"));
  environment_ = {{"CUDA_HOME", ""}, {"VIRTUAL_ENV", "/not there"}, {"HOME", (root_ / "nobody").string()}};
  EXPECT_THAT(find(), ElementsAre("libx.so.13", "libx.so.12"));
}

TEST_F(CudaFiles, BesideTheProgramThenAToolkitThenWheels) {
  const auto system = add("usr/lib/python3/dist-packages/nvidia/cu13/lib/libx.so.13");
  const auto own = add("home/u/.local/lib/python3.11/site-packages/nvidia/cublas/lib/libx.so.12");
  const auto environment = add("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libx.so.13");
  const auto usual = add("usr/local/cuda/lib64/libx.so.12");
  const auto named = add("opt/cuda-13/targets/x86_64-linux/lib/libx.so.13");
  const auto beside = add("app/lib/libx.so.13");
  add("usr/local/cuda/lib64/libx.so");  // a name that is not asked for
  environment_ = {{"CUDA_HOME", (root_ / "opt/cuda-13").string()},
                  {"VIRTUAL_ENV", (root_ / "venv").string()},
                  {"HOME", (root_ / "home/u").string()}};
  EXPECT_THAT(find((root_ / "app/bin/batchscope").string()),
              ElementsAre("libx.so.13", "libx.so.12", beside, named, usual, environment, own, system));
}

}  // namespace
}  // namespace batchscope
