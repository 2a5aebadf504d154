#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace itemcrop::cli {

/// "1 photo", "2 photos".
std::string counted(std::size_t count, std::string_view noun);

/// At most `most` of the words: "a, b and 15 more".
std::string join_some(std::span<const std::string> words, std::size_t most);

/// Control characters, which could steer a terminal, replaced by '?'.
std::string printable(std::string_view text);

/// printf's "%.*f".
std::string fixed(double value, int decimals);

}  // namespace itemcrop::cli
