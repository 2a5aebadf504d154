// Reading tokenizers: vocab.txt with tokenizer_config.json, and tokenizer.json.

#include <algorithm>
#include <system_error>
#include <utility>

#include "itemcrop/error.h"

#include "io/config_fields.h"
#include "io/file.h"
#include "io/json.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace itemcrop::text {
namespace {

constexpr std::size_t kMaxFileBytes = 64 << 20;

bool is_present(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(file, ignored);
}

/// One token a line; "\r\n" is taken for the "\n" it was before a checkout.
std::vector<std::string> read_lines(const std::filesystem::path& file) {
  const std::string text = io::read_file(file, kMaxFileBytes);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) {
      line.pop_back();
    }
    lines.push_back(std::move(line));
    at = end + 1;
  }
  return lines;
}

/// Checks the settings of BERT's normalizer; returns whether it lowers case.
bool read_lower_case(const io::ConfigFields& fields, const char* lower_case_name,
                     const char* ideographs_name) {
  const bool lower_case = fields.boolean(lower_case_name, true);
  fields.require(fields.boolean("strip_accents", lower_case) == lower_case, "strip_accents",
                 std::string("null or the same as ") + lower_case_name);
  fields.require(fields.boolean(ideographs_name, true), ideographs_name, "true");
  return lower_case;
}

/// model.vocab of a tokenizer.json: tokens to ids, which must be 0 to size - 1.
std::vector<std::string> read_vocab_object(const io::ConfigFields& model) {
  const nlohmann::json& vocab = model.raw("vocab");
  if (!vocab.is_object() || vocab.empty()) {
    model.reject("vocab", "an object of tokens and ids");
  }
  std::vector<std::string> tokens(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    // Tokens are distinct keys, so ids in range that do not repeat fill every place.
    const bool in_range = id.is_number_unsigned() && id.get<std::uint64_t>() < tokens.size();
    if (!in_range || !tokens[id.get<std::size_t>()].empty()) {
      throw Error(ErrorCode::kCorruptModel,
                  "tokenizer.json: model.vocab: the id of '" + token.substr(0, 200) +
                      "' must be its own number from 0 to " + std::to_string(tokens.size() - 1) +
                      ", not " + id.dump().substr(0, 80));
    }
    tokens[id.get<std::size_t>()] = token;
  }
  return tokens;
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view text) {
  constexpr std::string_view kFile = "tokenizer.json";
  const nlohmann::json document = io::parse_json_object(text, std::string(kFile));
  const io::ConfigFields fields(document, kFile);
  const io::ConfigFields model = fields.child("model");
  model.require(model.word("type", "WordPiece") == "WordPiece", "type", "\"WordPiece\"");
  model.require(model.word("unk_token", "[UNK]") == "[UNK]", "unk_token", "\"[UNK]\"");
  model.require(model.word("continuing_subword_prefix", "##") == "##", "continuing_subword_prefix",
                "\"##\"");
  model.require(model.integer("max_input_chars_per_word", 100, 1, 1 << 20) == 100,
                "max_input_chars_per_word", "100");
  const io::ConfigFields normalizer = fields.child("normalizer");
  normalizer.require(normalizer.word("type", "") == "BertNormalizer", "type", "\"BertNormalizer\"");
  normalizer.require(normalizer.boolean("clean_text", true), "clean_text", "true");
  const bool lower_case = read_lower_case(normalizer, "lowercase", "handle_chinese_chars");
  const io::ConfigFields pre = fields.child("pre_tokenizer");
  pre.require(pre.word("type", "") == "BertPreTokenizer", "type", "\"BertPreTokenizer\"");
  return {std::make_shared<const Vocabulary>(read_vocab_object(model), std::string(kFile)),
          lower_case};
}

Tokenizer Tokenizer::load(const std::filesystem::path& folder) {
  const std::filesystem::path vocabulary = folder / "vocab.txt";
  const std::filesystem::path json = folder / "tokenizer.json";
  if (!is_present(vocabulary) && is_present(json)) {
    return from_json(io::read_file(json, kMaxFileBytes));
  }
  bool lower_case = true;
  const std::filesystem::path config = folder / "tokenizer_config.json";
  if (is_present(config)) {
    const nlohmann::json document =
        io::parse_json_object(io::read_file(config, kMaxFileBytes), "tokenizer_config.json");
    lower_case = read_lower_case(io::ConfigFields(document, "tokenizer_config.json"),
                                 "do_lower_case", "tokenize_chinese_chars");
  }
  return {std::make_shared<const Vocabulary>(read_lines(vocabulary), vocabulary.string()),
          lower_case};
}

}  // namespace itemcrop::text
