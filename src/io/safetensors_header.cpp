#include "io/safetensors_header.h"

#include <array>
#include <limits>
#include <optional>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

namespace itemcrop::io {
namespace {

std::optional<DType> parse_dtype(std::string_view word) {
  constexpr std::array kTypes{DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                              DType::kI32, DType::kU8,  DType::kBool};
  for (const DType type : kTypes) {
    if (to_string(type) == word) {
      return type;
    }
  }
  return std::nullopt;
}

/// SAX, so that a key given twice is seen (a JSON tree keeps only the last one), and so that a
/// deeply nested header is refused at its first wrong bracket.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& origin) : origin_(origin) {}

  std::vector<HeaderEntry> take() { return std::move(entries_); }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTensorValue:
        place_ = Place::kTensor;
        field_ = {};
        return true;
      case Place::kMetadataValue:
        place_ = Place::kMetadata;
        return true;
      default:
        fail("an object where a value of another kind belongs");
    }
  }

  bool key(string_t& text) override {
    if (place_ == Place::kMetadata) {
      return true;
    }
    if (place_ == Place::kTensor) {
      start_field(text);
      return true;
    }
    entry_ = {};
    entry_.name = text;
    if (!names_.insert(text).second) {
      fail("the name occurs twice");
    }
    if (entries_.size() == kMaxTensors) {
      fail("more than " + std::to_string(kMaxTensors) + " tensors");
    }
    place_ = text == "__metadata__" ? Place::kMetadataValue : Place::kTensorValue;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      finish_entry();
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_.in_array ||
        (field_.name != "shape" && field_.name != "data_offsets")) {
      fail("an array where a value of another kind belongs");
    }
    field_.in_array = true;
    return true;
  }

  bool end_array() override {
    field_.in_array = false;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kTensor || !field_.in_array) {
      fail("a number where a value of another kind belongs");
    }
    if (field_.name == "shape") {
      if (entry_.shape.size() == kMaxDimensions) {
        fail("more than " + std::to_string(kMaxDimensions) + " dimensions");
      }
      if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
        fail("shape overflows");
      }
      entry_.shape.push_back(static_cast<std::int64_t>(value));
    } else {
      if (offsets_ == 2) {
        fail("data_offsets must hold two offsets");
      }
      (offsets_ == 0 ? entry_.begin : entry_.end) = value;
      ++offsets_;
    }
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      return true;
    }
    if (place_ != Place::kTensor || field_.name != "dtype") {
      fail("a string where a value of another kind belongs");
    }
    const std::optional<DType> type = parse_dtype(text);
    if (!type) {
      fail("dtype '" + text.substr(0, 32) + "' is not one of F32, F16, BF16, I64, I32, U8, BOOL");
    }
    entry_.dtype = *type;
    return true;
  }

  bool null() override { return wrong_kind("null"); }
  bool boolean(bool) override { return wrong_kind("a boolean"); }
  bool number_integer(number_integer_t) override { return wrong_kind("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return wrong_kind("a number that is not a 64-bit integer");
  }
  bool binary(binary_t&) override { return wrong_kind("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    throw Error(ErrorCode::kCorruptModel,
                origin_ + ": the header is not valid JSON (byte " + std::to_string(position) + ")");
  }

 private:
  enum class Place { kStart, kTop, kMetadataValue, kMetadata, kTensorValue, kTensor, kEnd };

  struct Field {
    std::string name;
    bool in_array = false;
    bool has_dtype = false;
    bool has_shape = false;
    bool has_offsets = false;
  };

  [[noreturn]] void fail(const std::string& what) const {
    const std::string tensor =
        entry_.name.empty() ? "" : "tensor '" + entry_.name.substr(0, 200) + "': ";
    throw Error(ErrorCode::kCorruptModel, origin_ + ": " + tensor + what);
  }

  bool wrong_kind(const std::string& what) const {
    fail(what + " where a value of another kind belongs");
  }

  void start_field(const std::string& name) {
    bool* seen = name == "dtype"          ? &field_.has_dtype
                 : name == "shape"        ? &field_.has_shape
                 : name == "data_offsets" ? &field_.has_offsets
                                          : nullptr;
    if (seen == nullptr) {
      fail("unknown field '" + name.substr(0, 32) + "'");
    }
    if (*seen) {
      fail("field '" + name + "' occurs twice");
    }
    *seen = true;
    field_.name = name;
    offsets_ = name == "data_offsets" ? 0 : offsets_;
  }

  void finish_entry() {
    if (!field_.has_dtype || !field_.has_shape || !field_.has_offsets) {
      fail("dtype, shape and data_offsets are required");
    }
    if (offsets_ != 2) {
      fail("data_offsets must hold two offsets");
    }
    if (entry_.begin > entry_.end) {
      fail("data_offsets end before they begin");
    }
    std::uint64_t bytes = size_of(entry_.dtype);
    for (const std::int64_t size : entry_.shape) {
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) {
        fail("shape overflows");
      }
    }
    if (bytes != entry_.end - entry_.begin) {
      fail("shape and dtype need " + std::to_string(bytes) + " bytes, data_offsets span " +
           std::to_string(entry_.end - entry_.begin));
    }
    entries_.push_back(std::move(entry_));
    entry_ = {};
  }

  const std::string& origin_;
  Place place_ = Place::kStart;
  HeaderEntry entry_;
  Field field_;
  int offsets_ = 0;
  std::vector<HeaderEntry> entries_;
  std::unordered_set<std::string> names_;
};

}  // namespace

std::vector<HeaderEntry> parse_safetensors_header(std::string_view json,
                                                  const std::string& origin) {
  if (!json.starts_with('{')) {
    throw Error(ErrorCode::kCorruptModel, origin + ": the header does not begin with '{'");
  }
  HeaderReader reader(origin);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take();
}

}  // namespace itemcrop::io
