#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace itemcrop {

/// Names of an enumeration's values, in their order. The values are 0, 1, ..., Last; a name too
/// few or too many does not compile.
template <auto Last>
class EnumNames {
 public:
  using Enum = decltype(Last);

  template <class... Names>
  requires(sizeof...(Names) ==
           static_cast<std::size_t>(Last) + 1) explicit constexpr EnumNames(Names... names)
      : names_{names...} {}

  /// A value that is none of them has the last one's name.
  constexpr std::string_view operator[](Enum value) const noexcept {
    const auto index = static_cast<std::size_t>(value);
    return names_[index < names_.size() ? index : names_.size() - 1];
  }

 private:
  std::array<std::string_view, static_cast<std::size_t>(Last) + 1> names_;
};

}  // namespace itemcrop
