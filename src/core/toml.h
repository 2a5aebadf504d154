#pragma once

#include <stdexcept>

/// toml++, whose parser asserts what a malformed file can break, and assumes it in release builds.
/// Here that is a std::logic_error, which readers of files turn into their own error.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(expr) ((expr) ? void() : throw std::logic_error("malformed"))
#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wexceptions"
#else
#pragma GCC diagnostic ignored "-Wterminate"  // accessors assert what their callers owe them
#endif
#include <toml++/toml.h>
#pragma GCC diagnostic pop
#pragma pop_macro("NDEBUG")
