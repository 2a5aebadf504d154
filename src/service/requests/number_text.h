#pragma once

#include <sstream>
#include <string>

namespace itemcrop::service {

/// A number in messages, with no more digits than it has: "0.25", "4000000000", "1e+300".
inline std::string number_text(double value) {
  std::ostringstream out;
  out.precision(15);
  out << value;
  return out.str();
}

}  // namespace itemcrop::service
