#include "cli/validators.h"

#include <charconv>
#include <utility>

#include "cli/words.h"
#include "core/words.h"

namespace itemcrop::cli {
namespace {

template <typename Number>
bool parse(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  return problem == std::errc() && stop == end;
}

/// Without trailing zeros: "0.05", "1".
std::string plain(double value) {
  std::string text = fixed(value, 6);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

CLI::Validator number_between(double low, double high) {
  return {[low, high](std::string& text) -> std::string {
            double value = 0;
            if (parse(text, value) && value >= low && value <= high) return {};
            return "must be a number from " + plain(low) + " to " + plain(high) + ", got '" + text +
                   "'";
          },
          ""};
}

CLI::Validator whole_number_between(long long low, long long high) {
  return {[low, high](std::string& text) -> std::string {
            long long value = 0;
            if (parse(text, value) && value >= low && value <= high) return {};
            return "must be a whole number from " + std::to_string(low) + " to " +
                   std::to_string(high) + ", got '" + text + "'";
          },
          ""};
}

CLI::Validator one_of(std::vector<std::string> words) {
  return {[words = std::move(words)](std::string& text) -> std::string {
            for (const std::string& word : words) {
              if (word == text) return {};
            }
            const auto typo = closest(text, words);
            return "must be one of " + join(words) + ", got '" + text + "'" +
                   (typo ? "; did you mean '" + *typo + "'?" : "");
          },
          ""};
}

}  // namespace itemcrop::cli
