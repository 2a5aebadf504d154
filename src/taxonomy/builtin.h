#pragma once

#include <span>
#include <string_view>

namespace itemcrop::taxonomy {

/// A file of builtin/, carried in the program.
struct BuiltinTaxonomy {
  std::string_view file;  ///< "fashion.toml"
  std::string_view text;
};

std::span<const BuiltinTaxonomy> builtin_taxonomies() noexcept;

}  // namespace itemcrop::taxonomy
