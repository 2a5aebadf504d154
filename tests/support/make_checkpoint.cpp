// itemcrop-make-checkpoint CONFIG_DIR OUT_DIR [--dtype f32|f16|bf16] [--vocab FILE]
//
// Writes a model folder in the published layout with procedural weights: for benchmarks and for
// comparing with other implementations, where no trained checkpoint of a shape is at hand.
// CONFIG_DIR holds config.json and preprocessor_config.json (tests/golden/tiny, for example).
// FILE is BERT's vocabulary; the default is CONFIG_DIR/vocab.txt.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/dtype.h"
#include "io/model_config.h"
#include "io/weight_table.h"
#include "support/procedural_weights.h"

namespace {

namespace fs = std::filesystem;
using itemcrop::DType;

constexpr std::int64_t kChunk = std::int64_t{1} << 20;  // elements written at a time

struct Arguments {
  fs::path config_folder;
  fs::path out_folder;
  fs::path vocabulary;
  DType dtype = DType::kF32;
};

DType parse_dtype(std::string_view word) {
  if (word == "f32") return DType::kF32;
  if (word == "f16") return DType::kF16;
  if (word == "bf16") return DType::kBF16;
  throw std::runtime_error("--dtype must be f32, f16 or bf16, got " + std::string(word));
}

Arguments parse_arguments(std::span<char* const> words) {
  Arguments arguments;
  std::vector<fs::path> folders;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    const bool is_option = word == "--dtype" || word == "--vocab";
    if (is_option && i + 1 == words.size()) {
      throw std::runtime_error(std::string(word) + " needs a value");
    }
    if (word == "--dtype") {
      arguments.dtype = parse_dtype(words[++i]);
    } else if (word == "--vocab") {
      arguments.vocabulary = words[++i];
    } else {
      folders.emplace_back(word);
    }
  }
  if (folders.size() != 2) {
    throw std::runtime_error(
        "usage: itemcrop-make-checkpoint CONFIG_DIR OUT_DIR [--dtype f32|f16|bf16] [--vocab FILE]");
  }
  arguments.config_folder = folders[0];
  arguments.out_folder = folders[1];
  if (arguments.vocabulary.empty()) arguments.vocabulary = folders[0] / "vocab.txt";
  return arguments;
}

/// Round to nearest, ties to even; too large becomes infinity.
std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  constexpr std::uint32_t kOverflow = 0x477FF000U;        // 65520, which rounds to 65536
  constexpr std::uint32_t kSmallestNormal = 0x38800000U;  // 2^-14
  if (magnitude >= kOverflow) return sign | 0x7C00U;
  if (magnitude < kSmallestNormal) {
    const float units = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24F);
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(units));
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
}

void write_values(std::ofstream& file, std::span<const float> values, DType dtype) {
  if (dtype == DType::kF32) {
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size_bytes()));
    return;
  }
  std::vector<std::uint16_t> halves;
  halves.reserve(values.size());
  for (const float value : values) {
    halves.push_back(dtype == DType::kF16 ? float_to_f16(value) : itemcrop::float_to_bf16(value));
  }
  file.write(reinterpret_cast<const char*>(halves.data()),
             static_cast<std::streamsize>(halves.size() * sizeof(std::uint16_t)));
}

/// What a published checkpoint of this config holds.
std::vector<itemcrop::io::WeightSpec> stored_weights(const itemcrop::io::ModelConfig& config) {
  std::vector<itemcrop::io::WeightSpec> stored = itemcrop::io::weight_table(config);
  if (config.kind != itemcrop::io::ModelKind::kMmGroundingDino) return stored;
  // Without the copies under model.decoder, transformers 5.17 ties all heads to the first.
  const std::size_t heads = stored.size();
  for (std::size_t i = 0; i < heads; ++i) {
    for (const std::string& alias : stored[i].aliases) {
      stored.push_back({alias, stored[i].shape, {stored[i].name}});
    }
  }
  return stored;
}

/// The name that a weight's values follow from.
std::string_view drawn_as(const itemcrop::io::WeightSpec& spec) {
  constexpr std::string_view kCopy = "model.decoder.";
  const bool is_copy =
      spec.aliases.size() == 1 && spec.name == std::string(kCopy) + spec.aliases[0];
  return is_copy ? std::string_view(spec.aliases[0]) : std::string_view(spec.name);
}

std::int64_t element_count(const itemcrop::io::WeightSpec& spec) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : spec.shape) count *= dimension;
  return count;
}

/// The header of a safetensors file, padded so that the data starts at a multiple of eight.
std::string make_header(std::span<const itemcrop::io::WeightSpec> table, DType dtype) {
  nlohmann::ordered_json header{{"__metadata__", {{"format", "pt"}}}};
  std::int64_t begin = 0;
  for (const itemcrop::io::WeightSpec& spec : table) {
    const std::int64_t end =
        begin + element_count(spec) * static_cast<std::int64_t>(itemcrop::size_of(dtype));
    header[spec.name] = {{"dtype", itemcrop::to_string(dtype)},
                         {"shape", spec.shape},
                         {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

void write_weights(const fs::path& path, const itemcrop::io::ModelConfig& config, DType dtype) {
  const std::vector<itemcrop::io::WeightSpec> table = stored_weights(config);
  std::ofstream file(path, std::ios::binary);
  const std::string header = make_header(table, dtype);
  const auto length = static_cast<std::uint64_t>(header.size());
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  const double logit_scale = itemcrop::test::logit_scale(config);
  std::vector<float> values;
  for (const itemcrop::io::WeightSpec& spec : table) {
    const std::int64_t count = element_count(spec);
    for (std::int64_t begin = 0; begin < count; begin += kChunk) {
      values.resize(static_cast<std::size_t>(std::min(kChunk, count - begin)));
      itemcrop::test::procedural_values(drawn_as(spec), spec.shape, logit_scale, begin, values);
      write_values(file, values, dtype);
    }
  }
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

void make_checkpoint(const Arguments& arguments) {
  const auto config = itemcrop::io::load_model_config(arguments.config_folder);
  fs::create_directories(arguments.out_folder);
  constexpr auto kReplace = fs::copy_options::overwrite_existing;
  for (const char* name : {"config.json", "preprocessor_config.json"}) {
    fs::copy_file(arguments.config_folder / name, arguments.out_folder / name, kReplace);
  }
  fs::copy_file(arguments.vocabulary, arguments.out_folder / "vocab.txt", kReplace);
  write_weights(arguments.out_folder / "model.safetensors", config, arguments.dtype);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    make_checkpoint(parse_arguments({argv, static_cast<std::size_t>(argc)}));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "itemcrop-make-checkpoint: %s\n", error.what());
    return 1;
  }
  return 0;
}
