#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "golden_json.h"
#include "support/expect_error.h"
#include "support/small_vocabulary.h"
#include "support/temporary_folder.h"
#include "text/tokenizer.h"

namespace itemcrop::text {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TemporaryFolder;

std::vector<std::string> small_vocabulary() {
  std::vector<std::string> tokens = test::small_vocabulary();
  tokens.emplace_back("cat");
  return tokens;
}

std::string lines(const std::vector<std::string>& tokens, const char* end = "\n") {
  std::string text;
  for (const std::string& token : tokens) {
    text += token + end;
  }
  return text;
}

json small_tokenizer_json() {
  json vocab;
  const auto tokens = small_vocabulary();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    vocab[tokens[i]] = i;
  }
  return {{"version", "1.0"},
          {"added_tokens", json::array()},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", vocab}}}};
}

void expect_vocabulary_refused(ErrorCode code, const char* part,
                               const std::function<void(std::vector<std::string>&)>& change) {
  std::vector<std::string> tokens = small_vocabulary();
  change(tokens);
  const TemporaryFolder folder;
  folder.write("vocab.txt", lines(tokens));
  SCOPED_TRACE(part);
  expect_error(code, part, [&] { Tokenizer::load(folder.path()); });
}

void expect_json_refused(ErrorCode code, const char* pointer, const json& value, const char* part) {
  json document = small_tokenizer_json();
  document[json::json_pointer(pointer)] = value;
  SCOPED_TRACE(std::string(pointer) + " = " + value.dump());
  expect_error(code, part, [&] { Tokenizer::from_json(document.dump()); });
}

TEST(LoadTokenizer, ReadsVocabTxtWithAnyLineEnd) {
  for (const char* end : {"\n", "\r\n"}) {
    const TemporaryFolder folder;
    folder.write("vocab.txt", lines(small_vocabulary(), end));
    EXPECT_EQ(Tokenizer::load(folder.path()).tokenize("Cat").front().id, 1030);
  }
  const TemporaryFolder folder;
  std::string text = lines(small_vocabulary());
  text.pop_back();
  folder.write("vocab.txt", text);
  EXPECT_EQ(Tokenizer::load(folder.path()).vocabulary_size(), 1031);
}

TEST(LoadTokenizer, ReadsTokenizerJsonWhenThereIsNoVocabTxt) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, "vocab.txt", [&] { Tokenizer::load(folder.path()); });
  folder.write("tokenizer.json", small_tokenizer_json().dump());
  EXPECT_EQ(Tokenizer::load(folder.path()).tokenize("Cat").front().id, 1030);
  folder.write("vocab.txt", lines({"x"}));
  expect_error(ErrorCode::kCorruptModel, "vocab.txt", [&] { Tokenizer::load(folder.path()); });
}

TEST(LoadTokenizer, BothLayoutsOfTheFullVocabularyAgree) {
  const Tokenizer from_lines = test::bert_tokenizer();
  json document = small_tokenizer_json();
  document["model"]["vocab"] = json::object();
  for (int id = 0; id < from_lines.vocabulary_size(); ++id) {
    document["model"]["vocab"][from_lines.token(id)] = id;
  }
  const Tokenizer from_json = Tokenizer::from_json(document.dump());
  const std::string text = "Navy blazer, t-shirt. \u4E2D\u6587 na\u00EFve?";
  EXPECT_EQ(test::encode(from_json, text), test::encode(from_lines, text));
}

TEST(LoadTokenizer, HonoursTokenizerConfig) {
  const TemporaryFolder folder;
  folder.write("vocab.txt", lines(small_vocabulary()));
  const auto id_of = [&](const char* config, const char* text) {
    folder.write("tokenizer_config.json", config);
    return Tokenizer::load(folder.path()).tokenize(text).front().id;
  };
  EXPECT_EQ(id_of(R"({"do_lower_case": true, "strip_accents": null})", "CAT"), 1030);
  EXPECT_EQ(id_of(R"({"do_lower_case": false})", "CAT"), 100);
  EXPECT_EQ(id_of(R"({"do_lower_case": false})", "cat"), 1030);
  const auto refused = [&](ErrorCode code, const char* config, const char* part) {
    SCOPED_TRACE(config);
    expect_error(code, part, [&] { id_of(config, "cat"); });
  };
  refused(ErrorCode::kCorruptModel, "[]", "tokenizer_config.json: not a JSON object");
  refused(ErrorCode::kCorruptModel, R"({"do_lower_case": 1})", "do_lower_case must be true or");
  refused(ErrorCode::kUnsupportedModel, R"({"strip_accents": false})", "strip_accents must be");
  refused(ErrorCode::kUnsupportedModel, R"({"tokenize_chinese_chars": false})",
          "tokenize_chinese_chars must be true");
}

TEST(Vocabulary, RefusesMissingRepeatedAndBadTokens) {
  const auto corrupt = [](const char* part,
                          const std::function<void(std::vector<std::string>&)>& change) {
    expect_vocabulary_refused(ErrorCode::kCorruptModel, part, change);
  };
  for (const std::size_t id : {0U, 100U, 101U, 102U, 103U, 1012U, 1029U}) {
    corrupt(("the token '" + small_vocabulary()[id] + "' is missing").c_str(),
            [id](auto& tokens) { tokens[id] = std::string("other"); });
  }
  corrupt("token 1030 ('cat') repeats token 7", [](auto& tokens) { tokens[7] = "cat"; });
  corrupt("token 7 has 0 bytes", [](auto& tokens) { tokens[7].clear(); });
  corrupt("token 7 has 401 bytes", [](auto& tokens) { tokens[7] = std::string(401, 'x'); });
  corrupt("token 7 is not valid UTF-8", [](auto& tokens) { tokens[7].assign(1, '\xC3'); });
  corrupt("is missing", [](auto& tokens) { tokens.clear(); });
}

TEST(Vocabulary, RefusesIdsThatTheModelIsNotTiedTo) {
  const auto swapped = [](const char* part, std::size_t a, std::size_t b) {
    expect_vocabulary_refused(ErrorCode::kUnsupportedModel, part,
                              [a, b](auto& tokens) { std::swap(tokens[a], tokens[b]); });
  };
  swapped("the token '[CLS]' must have id 101, which the model's block rule is tied to, not 5", 101,
          5);
  swapped("the token '[SEP]' must have id 102", 102, 5);
  swapped("the token '.' must have id 1012", 1012, 5);
  swapped("the token '?' must have id 1029", 1029, 5);
}

TEST(Vocabulary, RefusesTooManyTokens) {
  const std::vector<std::string> tokens((1 << 20) + 1, "x");
  expect_error(ErrorCode::kLimitExceeded, "1048577 tokens, the limit is 1048576",
               [&] { Tokenizer::from_vocabulary(tokens); });
}

TEST(TokenizerJson, RefusesIdsThatDoNotCount) {
  const auto corrupt = [](const json& vocab, const char* part) {
    expect_json_refused(ErrorCode::kCorruptModel, "/model/vocab", vocab, part);
  };
  corrupt({{"a", 1}}, "the id of 'a' must be its own number from 0 to 0, not 1");
  corrupt({{"a", 0}, {"b", 0}}, "the id of 'b' must be its own number");
  corrupt({{"a", -1}}, "not -1");
  corrupt({{"a", "0"}}, "not \"0\"");
  corrupt({{"a", 0.5}}, "not 0.5");
  corrupt(json::object(), "model.vocab must be an object of tokens and ids");
  corrupt(json::array(), "model.vocab must be an object of tokens and ids");
  corrupt({{"", 0}}, "token 0 has 0 bytes");
}

TEST(TokenizerJson, RefusesOtherTokenizers) {
  const auto unsupported = [](const char* pointer, const json& value, const char* part) {
    expect_json_refused(ErrorCode::kUnsupportedModel, pointer, value, part);
  };
  unsupported("/model/type", "BPE", "model.type must be \"WordPiece\"");
  unsupported("/model/unk_token", "<unk>", "model.unk_token");
  unsupported("/model/continuing_subword_prefix", "@@", "model.continuing_subword_prefix");
  unsupported("/model/max_input_chars_per_word", 50, "model.max_input_chars_per_word");
  unsupported("/normalizer/type", "NFC", "normalizer.type");
  unsupported("/normalizer", nullptr, "normalizer.type");
  unsupported("/normalizer/clean_text", false, "normalizer.clean_text");
  unsupported("/normalizer/handle_chinese_chars", false, "normalizer.handle_chinese_chars");
  unsupported("/normalizer/strip_accents", false, "normalizer.strip_accents");
  unsupported("/pre_tokenizer/type", "Whitespace", "pre_tokenizer.type");
  expect_error(ErrorCode::kCorruptModel, "tokenizer.json: key 'model' occurs twice",
               [] { Tokenizer::from_json(R"({"model":{},"model":{}})"); });
}

}  // namespace
}  // namespace itemcrop::text
