#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::text {

/// One token: its id and the bytes [begin, end) of the original UTF-8 text that it came from.
struct Token {
  std::int32_t id = 0;
  int begin = 0;
  int end = 0;
};

class Vocabulary;

/// BERT's WordPiece: the ids of `bert-base-uncased`'s fast tokenizer for any Unicode text.
/// Copies share the vocabulary; const use is thread-safe.
/// Source: BertNormalizer, BertPreTokenizer and WordPiece of the `tokenizers` library.
class Tokenizer {
 public:
  /// Reads vocab.txt (lower-casing as tokenizer_config.json says, default true), else
  /// tokenizer.json. Throws Error: kNotFound, kCorruptModel (names the file and line or field),
  /// kUnsupportedModel (a vocabulary whose [CLS], [SEP], '.' or '?' are not 101, 102, 1012, 1029:
  /// the model's block rule is tied to these ids).
  static Tokenizer load(const std::filesystem::path& folder);

  /// tokens[i] has id i. Throws as load().
  static Tokenizer from_vocabulary(std::vector<std::string> tokens, bool lower_case = true);

  /// A tokenizer.json's text. Throws as load().
  static Tokenizer from_json(std::string_view text);

  /// No [CLS] and [SEP] are added. The literal special tokens ("[SEP]", "[MASK]", ...) are matched
  /// first, as the reference does; see build_passes() for why prompts refuse them.
  /// Throws Error: kInvalidArgument (invalid UTF-8: the byte offset), kLimitExceeded (2 GiB).
  std::vector<Token> tokenize(std::string_view utf8) const;

  std::int32_t cls_id() const noexcept;
  std::int32_t sep_id() const noexcept;
  std::int32_t unk_id() const noexcept;
  std::int32_t pad_id() const noexcept;
  std::int32_t mask_id() const noexcept;
  std::int32_t period_id() const noexcept;
  std::int32_t question_id() const noexcept;
  int vocabulary_size() const noexcept;
  /// The token's text ("##ing" for a continuation); id in [0, vocabulary_size()).
  const std::string& token(std::int32_t id) const;

 private:
  Tokenizer(std::shared_ptr<const Vocabulary> vocabulary, bool lower_case);

  std::shared_ptr<const Vocabulary> vocabulary_;
  bool lower_case_ = true;
};

}  // namespace itemcrop::text
