#pragma once

/// This program's write(), fsync() and rename() stand before the C library's, so that tests can
/// make them fail.
namespace itemcrop::test {

/// While it lives, the Nth of these calls (from 1) and all after it, on this thread, fail with
/// `error`. Writes before it are cut to 1000 bytes each, so that files take several.
class FailingDisk {
 public:
  FailingDisk(int nth, int error);
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;
  /// True if a call was made to fail.
  bool failed() const;
};

}  // namespace itemcrop::test
