#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::cli {

/// The candidate closest to `word`, if it is close enough to be a typo of it (at most a third of
/// its letters inserted, removed, replaced or swapped).
std::optional<std::string> closest(std::string_view word, std::span<const std::string> candidates);

/// "a, b, c".
std::string join(std::span<const std::string> words, std::string_view separator = ", ");

/// "1 photo", "2 photos".
std::string counted(std::size_t count, std::string_view noun);

/// At most `most` of the words: "a, b and 15 more".
std::string join_some(std::span<const std::string> words, std::size_t most);

/// Control characters, which could steer a terminal, replaced by '?'.
std::string printable(std::string_view text);

/// printf's "%.*f".
std::string fixed(double value, int decimals);

}  // namespace itemcrop::cli
