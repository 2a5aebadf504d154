#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace itemcrop::cli {

/// Flag checks whose messages name the limit and the value. None adds to the flag's type name.
CLI::Validator number_between(double low, double high);
CLI::Validator whole_number_between(long long low, long long high);
/// One of the words; a near miss is answered with a suggestion.
CLI::Validator one_of(std::vector<std::string> words);

}  // namespace itemcrop::cli
