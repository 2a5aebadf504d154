#include "taxonomy/model_hint.h"

namespace itemcrop::taxonomy {
namespace {

constexpr std::size_t kMaxWords = 3;    // of a line that stays a line
constexpr std::size_t kMaxLength = 40;  // of one of them, in bytes

/// "'mug', 'lamp' and 2 more"; empty if every word was taught.
std::string untaught_words(const Taxonomy& words, const Findings& findings) {
  std::string text;
  std::size_t count = 0;
  for (const std::string& word : findings.missed) {
    if (words.is_taught(word) || ++count > kMaxWords) continue;
    // Whole UTF-8 characters only; a longer word is no help in a hint.
    const std::string shown = word.size() > kMaxLength ? "…" : word;
    text += (text.empty() ? "'" : ", '") + shown + "'";
  }
  if (count > kMaxWords) text += " and " + std::to_string(count - kMaxWords) + " more";
  return text;
}

}  // namespace

std::optional<std::string> model_hint(const Taxonomy& words, std::string_view model,
                                      const Findings& findings, std::string_view advice) {
  if (words.models.empty() || words.taught.empty() || findings.asked == 0) return std::nullopt;
  const std::string untaught = untaught_words(words, findings);
  if (untaught.empty() && 4 * findings.found > findings.asked) return std::nullopt;
  std::string hint = "the model '" + std::string(model) + "' ";
  if (!untaught.empty()) hint += "was never taught " + untaught + "; it ";
  return hint + "knows " + words.taught + "; for anything else: " + std::string(advice);
}

}  // namespace itemcrop::taxonomy
