#pragma once

#include <string>
#include <utility>
#include <vector>

namespace itemcrop::cli {

/// "Name      value" lines, values aligned.
std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows);

/// 26581234 -> "26,581,234".
std::string with_thousands(long long number);

}  // namespace itemcrop::cli
