// Puts objects by S3Store, for tests that watch from the server's side. Prints a line for each:
// "KEY URL", or "KEY error: MESSAGE".
// Usage: itemcrop-s3-put ENDPOINT BUCKET PREFIX COUNT THREADS DEADLINE_MS path|virtual
// The keys come from S3_ACCESS_KEY and S3_SECRET_KEY.
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "itemcrop/error.h"

#include "store/s3_store.h"

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Another length and content for each.
std::string content_of(int number) {
  std::string content = "object " + std::to_string(number) + "\n";
  content.append(static_cast<std::size_t>(number) * 97, static_cast<char>('a' + number % 26));
  return content;
}

/// A check is one try, which the service repeats.
void check(itemcrop::store::S3Store& store, int max_tries) {
  for (int tries = 1;; ++tries) {
    try {
      return store.check();
    } catch (const itemcrop::Error& error) {
      const bool passes = error.code() == itemcrop::ErrorCode::kUnavailable ||
                          error.code() == itemcrop::ErrorCode::kDeadlineExceeded;
      if (!passes || tries == max_tries) throw;
    }
  }
}

int put_all(const std::vector<std::string>& arguments) {
  itemcrop::store::S3StoreOptions options;
  options.endpoint = arguments.at(0);
  options.bucket = arguments.at(1);
  options.prefix = arguments.at(2);
  options.access_key = variable("S3_ACCESS_KEY");
  options.secret_key = variable("S3_SECRET_KEY");
  options.cache_control = "public, max-age=60";
  options.acl = "public-read";
  options.deadline = std::chrono::milliseconds(std::stoi(arguments.at(5)));
  options.virtual_host = arguments.at(6) == "virtual";
  options.retry.max_tries = 12;
  options.retry.first_delay = std::chrono::milliseconds(5);
  options.retry_budget = 100;
  itemcrop::store::S3Store store(options);
  check(store, options.retry.max_tries);

  const int count = std::stoi(arguments.at(3));
  std::atomic<int> next = 0;
  std::mutex mutex;
  std::vector<std::jthread> threads;
  for (int t = 0; t < std::stoi(arguments.at(4)); ++t) {
    threads.emplace_back([&] {
      for (int number; (number = next++) < count;) {
        const std::string key = "item-" + std::to_string(number) + ".jpg";
        const std::string content = content_of(number);
        std::string said;
        try {
          said = store.put(key, std::as_bytes(std::span(content)), "image/jpeg");
        } catch (const itemcrop::Error& error) {
          said = std::string("error: ") + error.what();
        }
        const std::lock_guard lock(mutex);
        std::cout << key << " " << said << "\n";
      }
    });
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return put_all({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cout << "error: " << error.what() << "\n";
    return 1;
  }
}
