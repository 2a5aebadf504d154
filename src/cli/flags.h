#pragma once

#include <CLI/App.hpp>

namespace itemcrop::cli {

/// True for an option that takes no value.
inline bool is_flag(const CLI::Option& option) {
  return option.get_type_size() == 0 || option.get_items_expected_max() == 0;
}

}  // namespace itemcrop::cli
