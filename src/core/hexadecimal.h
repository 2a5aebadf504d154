#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace itemcrop {

/// Two lower-case digits a byte.
std::string hexadecimal(std::span<const std::byte> bytes);

/// `bytes` random bytes of the system's, as digits: names that nobody guesses. Throws kInternal
/// where the system has none.
std::string random_hexadecimal(std::size_t bytes);

}  // namespace itemcrop
