#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

namespace itemcrop::test {

/// Runs `action` and expects an Error of `code` whose message contains `part`.
template <typename Action>
void expect_error(ErrorCode code, std::string_view part, const Action& action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one that says: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
        << "message: " << error.what() << "\nexpected part: " << part;
  }
}

}  // namespace itemcrop::test
