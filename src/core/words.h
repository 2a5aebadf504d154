#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace itemcrop {

/// The candidate closest to `word`, if it is close enough to be a typo of it (at most a third of
/// its letters inserted, removed, replaced or swapped).
std::optional<std::string> closest(std::string_view word, std::span<const std::string> candidates);

/// "a, b, c".
std::string join(std::span<const std::string> words, std::string_view separator = ", ");

}  // namespace itemcrop
