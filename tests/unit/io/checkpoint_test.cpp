#include <string>

#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "safetensors_bytes.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::io {
namespace {

using test::expect_error;
using test::SafetensorsBytes;

SafetensorsBytes one_tensor(const std::string& name) {
  return {R"({")" + name + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2};
}

/// Two shards, "a" in the first and "b" in the second, and an index.
class Shards {
 public:
  explicit Shards(const std::string& index) {
    one_tensor("a").write(folder_.path() / "model-1.safetensors");
    one_tensor("b").write(folder_.path() / "model-2.safetensors");
    folder_.write("model.safetensors.index.json", index);
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
};

void expect_index_refused(const std::string& index, const char* part) {
  const Shards shards(index);
  SCOPED_TRACE(index);
  expect_error(ErrorCode::kCorruptModel, part, [&] { open_checkpoint(shards.path()); });
}

TEST(Checkpoint, OpensASingleFileEvenBesideAnIndex) {
  const Shards shards(R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  one_tensor("single").write(shards.path() / "model.safetensors");
  EXPECT_NE(open_checkpoint(shards.path())->find("single"), nullptr);
}

TEST(Checkpoint, OpensShards) {
  const Shards shards(R"({"metadata":{"total_size":4},)"
                      R"("weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const auto source = open_checkpoint(shards.path());
  EXPECT_EQ(source->names(), (std::vector<std::string_view>{"a", "b"}));
  const StoredTensor* b = source->find("b");
  ASSERT_NE(b, nullptr);
  source->release_pages(*b);
  EXPECT_EQ(b->data[1], std::byte{1});
  EXPECT_EQ(source->find("c"), nullptr);
}

TEST(Checkpoint, NamesTheFileWhenThereIsNone) {
  const test::TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, "model.safetensors", [&] { open_checkpoint(folder.path()); });
}

TEST(Checkpoint, RefusesAnIndexThatDisagreesWithItsShards) {
  expect_index_refused(R"({"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors"}})",
                       "tensor 'b' is not in model-1.safetensors");
  expect_index_refused(R"({"weight_map":{"a":"model-1.safetensors","c":"model-2.safetensors"}})",
                       "tensor 'c' is not in model-2.safetensors");
  expect_index_refused(R"({"weight_map":[]})", "weight_map must be an object");
  expect_index_refused(R"({})", "weight_map must be an object");
  expect_index_refused(R"({"weight_map":{"a":1}})", "weight_map.a must be a file name");
  expect_index_refused("not json", "not valid JSON");
}

TEST(Checkpoint, RefusesATensorThatTheIndexDoesNotList) {
  const Shards shards(R"({"weight_map":{"a":"model-1.safetensors"}})");
  SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                   R"("x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                   2)
      .write(shards.path() / "model-1.safetensors");
  expect_error(ErrorCode::kCorruptModel, "tensor 'x'", [&] { open_checkpoint(shards.path()); });
}

TEST(Checkpoint, RefusesShardsOutsideTheFolder) {
  expect_index_refused(R"({"weight_map":{"a":"../model-1.safetensors"}})", "beside the index");
  expect_index_refused(R"({"weight_map":{"a":"/etc/passwd"}})", "beside the index");
  expect_index_refused(R"({"weight_map":{"a":"model.bin"}})", "beside the index");
}

}  // namespace
}  // namespace itemcrop::io
