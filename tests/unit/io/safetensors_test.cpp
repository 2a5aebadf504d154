#include "io/safetensors.h"

#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "safetensors_bytes.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::io {
namespace {

using test::expect_error;
using test::SafetensorsBytes;

constexpr const char* kTwoTensors = R"({"__metadata__":{"format":"pt"},)"
                                    R"("b":{"dtype":"F16","shape":[2],"data_offsets":[12,16]},)"
                                    R"("a":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}})";

void expect_corrupt_header(const std::string& header, std::size_t data_bytes, const char* part) {
  SCOPED_TRACE(header);
  const SafetensorsBytes file(header, data_bytes);
  expect_error(ErrorCode::kCorruptModel, part, [&] { parse_safetensors(file.bytes(), "file.st"); });
  expect_error(ErrorCode::kCorruptModel,
               "file.st: ", [&] { parse_safetensors(file.bytes(), "file.st"); });
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirData) {
  const SafetensorsBytes file(kTwoTensors, 16);
  const auto source = parse_safetensors(file.bytes(), "file.st");
  EXPECT_EQ(source->names(), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(source->origin(), "file.st");
  const StoredTensor* a = source->find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->dtype, DType::kF32);
  EXPECT_EQ(a->shape, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(a->elements(), 3);
  EXPECT_EQ(a->bytes, 12U);
  EXPECT_EQ(a->data[0], std::byte{0});
  const StoredTensor* b = source->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kF16);
  EXPECT_EQ(b->data[0], std::byte{12});
  EXPECT_EQ(source->find("c"), nullptr);
  EXPECT_EQ(source->find("__metadata__"), nullptr);
}

TEST(Safetensors, ReadsScalarsEmptyTensorsAndEveryElementType) {
  const SafetensorsBytes file(R"({"i64":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                              R"("i32":{"dtype":"I32","shape":[1],"data_offsets":[8,12]},)"
                              R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[12,12]},)"
                              R"("bf16":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]},)"
                              R"("u8":{"dtype":"U8","shape":[1],"data_offsets":[14,15]},)"
                              R"("bool":{"dtype":"BOOL","shape":[1],"data_offsets":[15,16]}})",
                              16);
  const auto source = parse_safetensors(file.bytes(), "file.st");
  EXPECT_EQ(source->find("i64")->elements(), 1);
  EXPECT_EQ(source->find("empty")->elements(), 0);
  EXPECT_EQ(source->find("bf16")->dtype, DType::kBF16);
  EXPECT_EQ(source->names().size(), 6U);
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  const SafetensorsBytes file("{}", 0);
  EXPECT_TRUE(parse_safetensors(file.bytes(), "file.st")->names().empty());
}

TEST(Safetensors, MapsAFileAndReleasesItsPages) {
  const test::TemporaryFolder folder;
  const std::size_t elements = 64 * 1024;
  const SafetensorsBytes file(R"({"a":{"dtype":"U8","shape":[65536],"data_offsets":[0,65536]}})",
                              elements);
  file.write(folder.path() / "model.safetensors");
  const auto source = open_safetensors(folder.path() / "model.safetensors");
  const StoredTensor* a = source->find("a");
  ASSERT_NE(a, nullptr);
  source->release_pages(*a);
  for (std::size_t i = 0; i < elements; ++i) {
    ASSERT_EQ(a->data[i], static_cast<std::byte>(i)) << i;
  }
}

TEST(Safetensors, NamesAFileThatCannotBeOpened) {
  const test::TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, "absent.safetensors",
               [&] { open_safetensors(folder.path() / "absent.safetensors"); });
  expect_error(ErrorCode::kNotFound, "not a regular file", [&] { open_safetensors("/dev/zero"); });
  folder.write("empty.safetensors", "");
  expect_error(ErrorCode::kCorruptModel, "empty",
               [&] { open_safetensors(folder.path() / "empty.safetensors"); });
}

TEST(Safetensors, RefusesATruncatedFileAtEveryByte) {
  const std::string whole = SafetensorsBytes(kTwoTensors, 16).text();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const SafetensorsBytes cut(whole.substr(0, size));
    SCOPED_TRACE(size);
    expect_error(ErrorCode::kCorruptModel,
                 "file.st: ", [&] { parse_safetensors(cut.bytes(), "file.st"); });
  }
}

TEST(Safetensors, RefusesAHeaderLongerThanTheLimitOrTheFile) {
  const auto with_length = [](std::uint64_t length) {
    std::string text(8, '\0');
    std::memcpy(text.data(), &length, sizeof(length));
    return SafetensorsBytes(text + "{}");
  };
  const auto parse = [](const SafetensorsBytes& file) { parse_safetensors(file.bytes(), "f"); };
  expect_error(ErrorCode::kCorruptModel, "the limit is 100000000",
               [&] { parse(with_length(100'000'001)); });
  expect_error(ErrorCode::kCorruptModel, "the limit is 100000000",
               [&] { parse(with_length(~0ULL)); });
  expect_error(ErrorCode::kCorruptModel, "truncated", [&] { parse(with_length(100'000'000)); });
  expect_error(ErrorCode::kCorruptModel, "truncated", [&] { parse(with_length(3)); });
}

TEST(Safetensors, RefusesAHeaderThatIsNotJson) {
  expect_corrupt_header("", 0, "does not begin with '{'");
  expect_corrupt_header(" {}", 0, "does not begin with '{'");
  expect_corrupt_header("[]", 0, "does not begin with '{'");
  expect_corrupt_header("{", 0, "not valid JSON");
  expect_corrupt_header("{}{}", 0, "not valid JSON");
  expect_corrupt_header(R"({"a":})", 0, "not valid JSON");
  expect_corrupt_header("{\"\xFF\":{}}", 0, "not valid JSON");
  expect_corrupt_header("{\"\xED\xA0\x80\":{}}", 0, "not valid JSON");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}})", 4,
                        "not valid JSON");
}

TEST(Safetensors, RefusesNumbersThatOverflowADouble) {
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1e605],"data_offsets":[0,4]}})", 4,
                        "not valid JSON");
}

TEST(Safetensors, RefusesNestingWithoutRecursion) {
  expect_corrupt_header("{\"a\":" + std::string(1'000'000, '['), 0, "tensor 'a': an array");
  std::string objects = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) {
    objects += "{\"shape\":";
  }
  expect_corrupt_header(objects, 0, "tensor 'a': an object");
}

TEST(Safetensors, RefusesANameThatOccursTwice) {
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                        8, "tensor 'a': the name occurs twice");
  expect_corrupt_header(R"({"__metadata__":{},"__metadata__":{}})", 0, "occurs twice");
  expect_corrupt_header(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        4, "tensor 'a': field 'dtype' occurs twice");
}

TEST(Safetensors, RefusesMissingAndUnknownFields) {
  expect_corrupt_header(R"({"a":{}})", 0, "tensor 'a': dtype, shape and data_offsets are required");
  expect_corrupt_header(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "are required");
  expect_corrupt_header(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "are required");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1]}})", 4, "are required");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
                        "unknown field 'x'");
}

TEST(Safetensors, RefusesValuesOfTheWrongKind) {
  expect_corrupt_header(R"({"a":1})", 0, "tensor 'a': a number");
  expect_corrupt_header(R"({"a":null})", 0, "tensor 'a': null");
  expect_corrupt_header(R"({"a":"F32"})", 0, "tensor 'a': a string");
  expect_corrupt_header(R"({"a":[]})", 0, "tensor 'a': an array");
  expect_corrupt_header(R"({"__metadata__":[]})", 0, "an array");
  expect_corrupt_header(R"({"__metadata__":{"x":1}})", 0, "a number");
  expect_corrupt_header(R"({"__metadata__":{"x":{}}})", 0, "an object");
  expect_corrupt_header(R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4, "a number");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":"1","data_offsets":[0,4]}})", 4, "a string");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4,
                        "an array");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}})", 4,
                        "a boolean");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4,
                        "a negative");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4,
                        "not a 64-bit integer");
  expect_corrupt_header(
      R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}})", 4,
      "not a 64-bit integer");
}

TEST(Safetensors, RefusesUnknownElementTypes) {
  expect_corrupt_header(R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", 8,
                        "tensor 'a': dtype 'F64' is not one of");
  expect_corrupt_header(R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", 4,
                        "dtype 'f32'");
  expect_corrupt_header(R"({"a":{"dtype":"","shape":[1],"data_offsets":[0,4]}})", 4, "dtype ''");
}

TEST(Safetensors, RefusesSizesThatOverflow) {
  expect_corrupt_header(
      R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
      "tensor 'a': shape overflows");
  expect_corrupt_header(
      R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}})", 0,
      "tensor 'a': shape overflows");
  expect_corrupt_header(
      R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
      "tensor 'a': shape overflows");
  expect_corrupt_header(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})",
                        1, "more than 8 dimensions");
}

TEST(Safetensors, RefusesOffsetsThatDisagreeWithTheShape) {
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
                        "tensor 'a': shape and dtype need 8 bytes, data_offsets span 4");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4,
                        "data_offsets end before they begin");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4,
                        "must hold two offsets");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4,
                        "must hold two offsets");
}

TEST(Safetensors, RefusesGapsOverlapsAndTrailingBytes) {
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
                        "tensor 'a': data begins at 4, expected 0");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
                        12, "tensor 'b': data begins at 8, expected 4");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                        8, "tensor 'b': data begins at 4, expected 8");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        4, "tensor 'b': data begins at 0, expected 4");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5,
                        "1 bytes after the last tensor's data");
  expect_corrupt_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4,
                        "tensor 'a': data ends at 8, the file holds 4 bytes of data");
}

TEST(Safetensors, RefusesMisalignedData) {
  expect_corrupt_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                        5, "tensor 'b': data is not aligned to its 4-byte elements");
  const SafetensorsBytes odd(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]} })", 4,
                             false);
  ASSERT_NE(odd.bytes().size() % 4, 0U);
  expect_error(ErrorCode::kCorruptModel, "not aligned",
               [&] { parse_safetensors(odd.bytes(), "file.st"); });
  const SafetensorsBytes file(kTwoTensors, 16);
  expect_error(ErrorCode::kInvalidArgument, "8-byte aligned",
               [&] { parse_safetensors(file.bytes().subspan(1), "file.st"); });
}

TEST(Safetensors, RefusesTooManyTensors) {
  std::string header = "{";
  for (int i = 0; i <= 65'536; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  expect_corrupt_header(header + "}", 0, "more than 65536 tensors");
}

}  // namespace
}  // namespace itemcrop::io
