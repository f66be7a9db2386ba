// What a user names as a model, and what is said when it is none.
#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/shared_data.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

std::string error_of(const ModelSource& source) {
  try {
    read_config(source);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

class ModelFolder : public testing::Test {
 protected:
  ModelFolder() : folder(std::filesystem::path(testing::TempDir()) / fmt::format("model_folder_test_{}", getpid())) {
    std::filesystem::create_directories(folder);
  }
  ~ModelFolder() override { std::filesystem::remove_all(folder); }
  const std::filesystem::path folder;
};

TEST_F(ModelFolder, SaysWhatIsWrongWithAPath) {
  EXPECT_THAT(error_of({.path = "nowhere"}), HasSubstr("no such folder or file"));
  EXPECT_THAT(error_of({.path = folder.string()}), HasSubstr("no config.json"));
  EXPECT_THAT(error_of({.path = "some/model.gguf"}), HasSubstr("no such folder or file"));
  std::ofstream(folder / "file") << "x";
  EXPECT_THAT(error_of({.path = (folder / "file").string()}), HasSubstr("it is a file"));
  std::ofstream(folder / "file.gguf") << "x";
  EXPECT_THAT(error_of({.path = (folder / "file.gguf").string()}), HasSubstr("not a GGUF file"));
}

TEST_F(ModelFolder, EmbeddedFilesAreLookedForAtHomeFirst) {
  std::ofstream(folder / "thing.toml") << "x";
  ASSERT_EQ(setenv("BATCHSCOPE_HOME", folder.c_str(), 1), 0);
  EXPECT_EQ(embedded_file("thing.toml"), folder / "thing.toml");
  EXPECT_TRUE(std::filesystem::exists(embedded_file("src/model/model.h")));  // falls back on the source tree
  unsetenv("BATCHSCOPE_HOME");
  EXPECT_THROW(embedded_file("thing.toml"), InputError);
}

TEST(ModelSource, ARandomShapeNeedsNoFiles) {
  const ModelSource source{.random_shape = "layers=1,hidden=4,heads=2,intermediate=3,vocabulary=5", .seed = 3};
  const ModelConfig config = read_config(source);
  std::vector<std::byte> scratch;
  const auto weights = open_weights(source, config);
  for (const WeightShape& shape : weight_shapes(config))
    EXPECT_EQ(weights->read(shape, {0, shape.rows, 0, shape.columns}, scratch).rows, shape.rows);
}

// By its content, whatever its name.
TEST_F(ModelFolder, AGgufFileIsKnownByItsFirstBytes) {
  std::ofstream(folder / "MODEL.GGUF") << "GGUF";
  std::ofstream(folder / "model") << "GGUF";
  for (const char* name : {"MODEL.GGUF", "model"})
    EXPECT_THAT(error_of({.path = (folder / name).string()}), HasSubstr("it is cut short")) << name;
}

TEST(ModelSource, ATokenizerMustFitTheEmbedding) {
  NEEDS_SHARED_DATA(folder, "models/stories260K-hf");
  const ModelSource source{.path = folder.string()};
  ModelConfig config = read_config(source);
  EXPECT_EQ(open_tokenizer(source, config)->vocabulary(), 512);
  config.vocabulary = 511;
  const auto bounded = open_tokenizer(source, config);  // texts without the last piece are the same
  EXPECT_EQ(bounded->vocabulary(), 511);
  config.vocabulary = 512;
  const auto whole = open_tokenizer(source, config);
  EXPECT_EQ(bounded->encode("Once upon a time"), whole->encode("Once upon a time"));
  EXPECT_THROW(bounded->encode(whole->decode({{511}})), InputError);
}

}  // namespace
}  // namespace batchscope
