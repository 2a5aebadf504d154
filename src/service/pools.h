#pragma once

#include <cstddef>

#include <boost/asio/thread_pool.hpp>

#include "service/fair_pool.h"
#include "service/requests/memory_bound.h"

namespace itemcrop::service {

/// Threads for what blocks, apart by whom they wait for, so that a slow one of them holds up nobody
/// but those who need it.
struct Pools {
  Pools(std::size_t work_threads, std::size_t download_threads)
      : work(work_threads), downloads(download_threads), uploads(kUploads), local(kLocalThreads) {}

  void join() {
    downloads.join();
    uploads.join();
    local.join();
    work.join();
  }

  FairPool work;                       ///< processor time: parsing, decoding, encoding
  boost::asio::thread_pool downloads;  ///< other people's servers, and the VLM
  boost::asio::thread_pool uploads;    ///< the store of crops
  boost::asio::thread_pool local;      ///< our own journal, files and metrics

 private:
  static constexpr std::size_t kUploads = 8;
};

}  // namespace itemcrop::service
