#include "text/tokenizer.h"

#include <limits>
#include <utility>

#include "itemcrop/error.h"

#include "text/normalizer.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace itemcrop::text {
namespace {

constexpr std::size_t kMaxWordCodePoints = 100;

/// Splits words into the longest tokens that fit, first to last; a word that cannot be split
/// whole, or is too long, is one [UNK].
class WordPiece {
 public:
  WordPiece(const Vocabulary& vocabulary, std::vector<Token>& tokens)
      : vocabulary_(vocabulary), tokens_(tokens) {}

  void add(char32_t value, int begin, int end) { word_.push_back({value, begin, end}); }

  void finish_word() {
    if (!word_.empty() && !split()) {
      tokens_.push_back({vocabulary_.unk().id, word_.front().begin, word_.back().end});
    }
    word_.clear();
  }

 private:
  bool split() {
    if (word_.size() > kMaxWordCodePoints) {
      return false;
    }
    utf8_.clear();
    code_point_at_.clear();
    for (std::size_t i = 0; i < word_.size(); ++i) {
      append_utf8(utf8_, word_[i].value);
      code_point_at_.resize(utf8_.size(), i);
    }
    const std::size_t before = tokens_.size();
    for (std::size_t at = 0; at < utf8_.size();) {
      const TokenTrie& trie = at == 0 ? vocabulary_.initial() : vocabulary_.continuation();
      const TokenTrie::Match match = trie.longest_prefix(std::string_view(utf8_).substr(at));
      if (match.id < 0) {
        tokens_.resize(before);
        return false;
      }
      tokens_.push_back({match.id, word_[code_point_at_[at]].begin,
                         word_[code_point_at_[at + match.bytes - 1]].end});
      at += match.bytes;
    }
    return true;
  }

  const Vocabulary& vocabulary_;
  std::vector<Token>& tokens_;
  std::vector<CodePoint> word_;
  std::string utf8_;                        // of word_
  std::vector<std::size_t> code_point_at_;  // index into word_ of each byte of utf8_
};

/// White space separates words; punctuation is a word of its own (BertPreTokenizer).
void tokenize_piece(const Vocabulary& vocabulary, bool lower_case, std::string_view piece,
                    int offset, std::vector<Token>& tokens) {
  WordPiece word_piece(vocabulary, tokens);
  for (const CodePoint& c : normalize(decode_utf8(piece, offset), lower_case)) {
    const bool punctuation = is_punctuation(c.value);
    const bool space = is_whitespace(c.value);
    if (punctuation || space) {
      word_piece.finish_word();
    }
    if (!space) {
      word_piece.add(c.value, c.begin, c.end);
    }
    if (punctuation) {
      word_piece.finish_word();
    }
  }
  word_piece.finish_word();
}

const SpecialToken* special_at(const Vocabulary& vocabulary, std::string_view text) {
  for (const SpecialToken& special : vocabulary.specials()) {
    if (text.starts_with(special.text)) {
      return &special;
    }
  }
  return nullptr;
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Vocabulary> vocabulary, bool lower_case)
    : vocabulary_(std::move(vocabulary)), lower_case_(lower_case) {}

Tokenizer Tokenizer::from_vocabulary(std::vector<std::string> tokens, bool lower_case) {
  return {std::make_shared<const Vocabulary>(std::move(tokens), "vocabulary"), lower_case};
}

std::vector<Token> Tokenizer::tokenize(std::string_view utf8) const {
  if (utf8.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(ErrorCode::kLimitExceeded,
                "text of " + std::to_string(utf8.size()) + " bytes, the limit is 2 GiB");
  }
  std::vector<Token> tokens;
  std::size_t piece = 0;  // where the text since the last special token begins
  const auto finish_piece = [&](std::size_t end) {
    tokenize_piece(*vocabulary_, lower_case_, utf8.substr(piece, end - piece),
                   static_cast<int>(piece), tokens);
  };
  std::size_t at = utf8.find('[');
  while (at != std::string_view::npos) {
    const SpecialToken* special = special_at(*vocabulary_, utf8.substr(at));
    std::size_t next = at + 1;
    if (special != nullptr) {
      finish_piece(at);
      next = at + special->text.size();
      tokens.push_back({special->id, static_cast<int>(at), static_cast<int>(next)});
      piece = next;
    }
    at = utf8.find('[', next);
  }
  finish_piece(utf8.size());
  return tokens;
}

std::int32_t Tokenizer::cls_id() const noexcept { return vocabulary_->cls().id; }
std::int32_t Tokenizer::sep_id() const noexcept { return vocabulary_->sep().id; }
std::int32_t Tokenizer::unk_id() const noexcept { return vocabulary_->unk().id; }
std::int32_t Tokenizer::pad_id() const noexcept { return vocabulary_->pad().id; }
std::int32_t Tokenizer::mask_id() const noexcept { return vocabulary_->mask().id; }
std::int32_t Tokenizer::period_id() const noexcept { return vocabulary_->period(); }
std::int32_t Tokenizer::question_id() const noexcept { return vocabulary_->question(); }

int Tokenizer::vocabulary_size() const noexcept {
  return static_cast<int>(vocabulary_->tokens().size());
}

const std::string& Tokenizer::token(std::int32_t id) const {
  return vocabulary_->tokens().at(static_cast<std::size_t>(id));
}

}  // namespace itemcrop::text
