#pragma once

#include <sstream>
#include <string>

namespace itemcrop::service {

/// A number as messages show it, short whatever it is: "0.25", "4000000000", "1e+300".
inline std::string shown(double value) {
  std::ostringstream out;
  out.precision(15);
  out << value;
  return out.str();
}

}  // namespace itemcrop::service
