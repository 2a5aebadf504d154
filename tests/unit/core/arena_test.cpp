#include "core/arena.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

// The sanitizers' own allocators would else end the program where the machine's says no.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace itemcrop {
namespace {

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kIo;
}

TEST(Arena, HandsOutAlignedBlocksSideBySide) {
  Arena arena(1000);
  EXPECT_EQ(arena.capacity(), 1024U);
  auto* first = static_cast<std::byte*>(arena.allocate(1));
  auto* second = static_cast<std::byte*>(arena.allocate(64));
  auto* third = static_cast<std::byte*>(arena.allocate(65));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % Arena::kAlignment, 0U);
  EXPECT_EQ(second - first, 64);
  EXPECT_EQ(third - second, 64);
  EXPECT_EQ(arena.mark(), 256U);
  std::memset(first, 1, 256);
}

TEST(Arena, ReleasesInReverseOrderAndRemembersThePeak) {
  Arena arena(1024);
  arena.allocate(100);
  const std::size_t mark = arena.mark();
  void* first = arena.allocate(500);
  arena.release(mark);
  EXPECT_EQ(arena.mark(), mark);
  EXPECT_EQ(arena.peak(), 128U + 512U);
  EXPECT_EQ(arena.allocate(10), first);
  EXPECT_EQ(arena.peak(), 128U + 512U);
}

TEST(Arena, FillsUpExactly) {
  Arena arena(128);
  arena.allocate(128);
  EXPECT_EQ(code_of([&] { arena.allocate(1); }), ErrorCode::kInternal);
  arena.allocate(0);
}

TEST(Arena, RefusesSizesThatWouldOverflow) {
  Arena arena(128);
  EXPECT_EQ(code_of([&] { arena.allocate(std::numeric_limits<std::size_t>::max()); }),
            ErrorCode::kInternal);
  EXPECT_EQ(code_of([&] { arena.allocate(std::numeric_limits<std::size_t>::max() - 64); }),
            ErrorCode::kInternal);
}

TEST(Arena, AnArenaOfNothingHoldsNothing) {
  Arena arena(0);
  EXPECT_EQ(arena.capacity(), 0U);
  EXPECT_EQ(code_of([&] { arena.allocate(1); }), ErrorCode::kInternal);
}

TEST(Arena, NamesTheSizeThatTheMachineRefuses) {
  constexpr std::size_t kImpossible = std::size_t{1} << 62;
  try {
    const Arena arena(kImpossible);
    FAIL() << "an arena of " << kImpossible << " bytes";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find(std::to_string(kImpossible)), std::string::npos);
  }
}

}  // namespace
}  // namespace itemcrop
