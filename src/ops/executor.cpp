#include "ops/executor.h"

#include <string>

#include "itemcrop/error.h"

namespace itemcrop::ops {

void throw_broken_contract(const char* op) {
  throw Error(ErrorCode::kInternal, std::string(op) + ": shapes break its contract");
}

}  // namespace itemcrop::ops
