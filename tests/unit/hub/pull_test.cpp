#include "hub/pull.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "fake_hub.h"
#include "hub/cache.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::hub {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::expect_error;
using test::FakeHub;
using test::HttpServerConnection;
using test::HttpServerRequest;

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Pull : public ::testing::Test {
 protected:
  PullOptions options() const {
    PullOptions options;
    options.endpoint = hub_.url() + "/";
    options.cache = folder_.path() / "hub";
    options.stall = 5s;
    options.retry.first_delay = 1ms;
    options.retry.max_tries = 3;
    return options;
  }
  PulledModel pull_main() { return pull("Some-One/closet", "main", options()); }

  fs::path model() const { return folder_.path() / "hub/models--Some-One--closet"; }
  fs::path blob(const std::string& name) const {
    return model() / "blobs" / FakeHub::hash_of(name, hub_.files.at(name));
  }
  fs::path incomplete(const std::string& name) const { return blob(name).string() + ".incomplete"; }
  /// Nothing that a reader of the cache would take for a model.
  void expect_no_snapshot() const {
    EXPECT_FALSE(fs::exists(model() / "snapshots"));
    EXPECT_FALSE(fs::exists(model() / "refs"));
  }

  test::TemporaryFolder folder_;
  FakeHub hub_;
};

TEST_F(Pull, LaysTheCacheOutAsPythonDoes) {
  const PulledModel pulled = pull_main();
  EXPECT_EQ(pulled.commit, FakeHub::kCommit);
  EXPECT_EQ(pulled.folder, model() / "snapshots" / FakeHub::kCommit);
  EXPECT_EQ(content_of(model() / "refs/main"), FakeHub::kCommit);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(pulled.folder)) {
    const std::string name = entry.path().filename();
    names.push_back(name);
    EXPECT_EQ(fs::read_symlink(entry.path()),
              "../../blobs/" + FakeHub::hash_of(name, hub_.files.at(name)));
    EXPECT_EQ(content_of(entry.path()), hub_.files.at(name));
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "model.safetensors",
                                             "preprocessor_config.json", "tokenizer.json"}));
  for (const auto& entry : fs::directory_iterator(model() / "blobs")) {
    EXPECT_TRUE(entry.is_regular_file() && entry.path().extension() != ".incomplete");
  }
}

TEST_F(Pull, AsksOnlyForWhatIsMissing) {
  pull_main();
  const auto gets = [&] {
    const auto requests = hub_.hub_requests();
    return hub_.cdn_requests().size() +
           static_cast<std::size_t>(std::count_if(
               requests.begin(), requests.end(), [](const HttpServerRequest& request) {
                 return request.method == "GET" && !request.target.starts_with("/api/");
               }));
  };
  const std::size_t before = gets();
  pull_main();
  EXPECT_EQ(gets(), before);
  fs::remove(blob("tokenizer.json"));
  pull_main();
  EXPECT_EQ(gets(), before + 1);
}

TEST_F(Pull, OtherRevisionsAndRenamedModels) {
  pull("Some-One/closet", "refs/pr/1", options());
  EXPECT_EQ(content_of(model() / "refs/refs/pr/1"), FakeHub::kCommit);
  const PulledModel renamed = pull("Old/name", "main", options());
  EXPECT_TRUE(fs::exists(renamed.folder / "config.json"));
}

TEST_F(Pull, TheTokenGoesToTheHubOnly) {
  hub_.token = "hf_secret";
  PullOptions wanted = options();
  wanted.token = "hf_secret";
  pull("Some-One/closet", "main", wanted);
  const auto cdn = hub_.cdn_requests();
  ASSERT_FALSE(cdn.empty());
  for (const HttpServerRequest& request : cdn) {
    EXPECT_FALSE(request.headers.contains("authorization"));
    EXPECT_EQ(request.head.find("hf_secret"), std::string::npos);
  }
}

TEST_F(Pull, ResumesWhereItEnded) {
  fs::create_directories(model() / "blobs");
  std::ofstream(incomplete("model.safetensors")) << std::string(200'000, 'w');
  std::vector<PulledModel> pulled;
  std::uint64_t first = 0;
  pull("Some-One/closet", "main", options(), [&](const PullProgress& progress) {
    if (progress.file == "model.safetensors" && first == 0) first = progress.done;
  });
  EXPECT_GT(first, 200'000U);
  ASSERT_EQ(hub_.cdn_requests().size(), 1U);
  EXPECT_EQ(hub_.cdn_requests()[0].headers.at("range"), "bytes=200000-");
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));
}

TEST_F(Pull, GoesOnAfterBrokenConnections) {
  std::atomic<int> tries = 0;
  hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (!request.target.starts_with("/model.safetensors") || ++tries > 20) return false;
    // 5,000 bytes more each time, then the line is cut.
    const auto range = request.headers.find("range");
    const std::size_t begin =
        range == request.headers.end() ? 0 : std::stoul(range->second.substr(6));
    const std::string& content = hub_.files.at("model.safetensors");
    connection.send((begin == 0 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 206 Part\r\n") +
                    ("Content-Range: bytes " + std::to_string(begin)) +
                    "-\r\nContent-Length: " + std::to_string(content.size() - begin) + "\r\n\r\n" +
                    content.substr(begin, 5'000));
    connection.close();
    return true;
  };
  pull_main();
  EXPECT_EQ(tries, 21);
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));
}

TEST_F(Pull, ADamagedPartIsDownloadedAfresh) {
  fs::create_directories(model() / "blobs");
  std::ofstream(incomplete("model.safetensors")) << std::string(200'000, 'X');
  pull_main();
  EXPECT_EQ(hub_.cdn_requests().size(), 2U);
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));

  // Longer than the file can be.
  fs::remove(blob("model.safetensors"));
  std::ofstream(incomplete("model.safetensors")) << std::string(400'000, 'X');
  pull_main();
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));
}

TEST_F(Pull, AWrongHashIsRefused) {
  for (const char* name : {"tokenizer.json", "model.safetensors"}) {
    hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
      if (request.method != "GET" || request.target.find("api/") != std::string::npos ||
          request.target.find(name) == std::string::npos || request.headers.contains("range")) {
        return false;
      }
      const std::string& content = hub_.files.at(name);
      if (name[0] == 'm' && request.target.starts_with("/Some-One")) return false;
      connection.respond(200, content.substr(1) + "!");
      return true;
    };
    expect_error(ErrorCode::kUnavailable, std::string(name) + ": what the hub sent",
                 [&] { pull_main(); });
    EXPECT_FALSE(fs::exists(blob(name)));
    EXPECT_FALSE(fs::exists(incomplete(name)));
    expect_no_snapshot();
  }
}

TEST_F(Pull, MoreBytesThanAnnouncedAreRefused) {
  hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (!request.target.starts_with("/model.safetensors")) return false;
    connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(500'000, 'w'));
    connection.close();
    return true;
  };
  expect_error(ErrorCode::kUnavailable, "more than the 300003 bytes", [&] { pull_main(); });
  EXPECT_LE(fs::file_size(incomplete("model.safetensors")), 300'003U);
  expect_no_snapshot();
}

TEST_F(Pull, SaysWhyItCannot) {
  hub_.token = "hf_right";
  expect_error(ErrorCode::kForbidden, "knows no public model Some-One/closet",
               [&] { pull_main(); });
  PullOptions wrong = options();
  wrong.token = "hf_wrong";
  hub_.refusal = 403;
  try {
    pull("Some-One/closet", "main", wrong);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kForbidden);
    EXPECT_EQ(std::string(error.what()).find("hf_wrong"), std::string::npos);
  }
  hub_.token.clear();
  expect_error(ErrorCode::kNotFound, "no Some-One/closet at revision v9",
               [&] { pull("Some-One/closet", "v9", options()); });
  hub_.files.erase("model.safetensors");
  expect_error(ErrorCode::kUnsupportedModel, "no model.safetensors", [&] { pull_main(); });
  expect_no_snapshot();
  PullOptions nowhere = options();
  nowhere.cache.clear();
  expect_error(ErrorCode::kInvalidArgument, "HF_HOME",
               [&] { pull("Some-One/closet", "main", nowhere); });
  nowhere = options();
  nowhere.endpoint = "http://127.0.0.1:1";
  expect_error(ErrorCode::kUnavailable, "cannot reach host '127.0.0.1'",
               [&] { pull("Some-One/closet", "main", nowhere); });
}

TEST_F(Pull, MalformedAnswersAreRefused) {
  for (const char* answer :
       {"", "[]", "{}", R"({"sha": "main", "siblings": []})",
        R"({"sha": "../../../../x", "siblings": []})",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [1]})"}) {
    hub_.misbehave = [&](const HttpServerRequest&, HttpServerConnection& connection) {
      return connection.respond(200, answer);
    };
    expect_error(ErrorCode::kUnavailable, "malformed", [&] { pull_main(); });
  }
  for (const char* etag : {"../../x", "", "main"}) {
    hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
      return request.method == "HEAD" &&
             connection.respond(200, "", std::string("ETag: \"") + etag + "\"\r\n");
    };
    expect_error(ErrorCode::kUnavailable, "neither hash nor size", [&] { pull_main(); });
  }
  hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
    return connection.respond(302, "", "Location: " + request.target + "\r\n");
  };
  expect_error(ErrorCode::kUnavailable, "redirects more than 5 times", [&] { pull_main(); });
  hub_.misbehave = [&](const HttpServerRequest&, HttpServerConnection& connection) {
    return connection.respond(302, "", "Location: file:///etc/passwd\r\n");
  };
  EXPECT_THROW(pull_main(), Error);
}

TEST_F(Pull, OfflineTakesTheCacheOnly) {
  PullOptions offline = options();
  offline.offline = true;
  expect_error(ErrorCode::kUnavailable, "HF_HUB_OFFLINE",
               [&] { pull("Some-One/closet", "main", offline); });
  EXPECT_TRUE(hub_.hub_requests().empty());
  pull_main();
  const std::size_t asked = hub_.hub_requests().size();
  EXPECT_EQ(pull("Some-One/closet", "main", offline).commit, FakeHub::kCommit);
  EXPECT_EQ(pull("Some-One/closet", FakeHub::kCommit, offline).commit, FakeHub::kCommit);
  EXPECT_EQ(hub_.hub_requests().size(), asked);
}

TEST_F(Pull, ShardsComeWithTheirIndex) {
  hub_.files.erase("model.safetensors");
  hub_.files["model.safetensors.index.json"] =
      R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})";
  hub_.files["model-1.safetensors"] = "one";
  hub_.files["model-3.safetensors"] = "three";
  expect_error(ErrorCode::kCorruptModel, "no model-2.safetensors", [&] { pull_main(); });
  expect_no_snapshot();
  hub_.files["model-2.safetensors"] = "two";
  const PulledModel pulled = pull_main();
  EXPECT_EQ(content_of(pulled.folder / "model-2.safetensors"), "two");
  EXPECT_FALSE(fs::exists(pulled.folder / "model-3.safetensors"));
}

TEST_F(Pull, AFullDiskKeepsTheCacheGood) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = 100'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorCode::kIo, "cannot write", [&] { pull_main(); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  expect_no_snapshot();
  pull_main();
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));
  EXPECT_EQ(hub_.cdn_requests().back().headers.at("range"), "bytes=100000-");
}

TEST_F(Pull, InterruptedItGoesOnNextTime) {
  hub_.misbehave = [&](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (!request.target.starts_with("/model.safetensors")) return false;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 300003\r\n\r\n" + std::string(1000, 'w'));
    connection.wait_for_end(5000);
    connection.close();
    return true;
  };
  std::stop_source stop;
  const auto interrupt = [&](const PullProgress& progress) {
    if (progress.file == "model.safetensors") stop.request_stop();
  };
  expect_error(ErrorCode::kCancelled, "cancelled",
               [&] { pull("Some-One/closet", "main", options(), interrupt, stop.get_token()); });
  EXPECT_GT(fs::file_size(incomplete("model.safetensors")), 0U);
  expect_no_snapshot();
  hub_.misbehave = nullptr;
  pull_main();
  EXPECT_EQ(content_of(blob("model.safetensors")), hub_.files.at("model.safetensors"));
}

TEST_F(Pull, SeveralAtOnceLinkAFileInOnePiece) {
  const CachedModel cached(model().parent_path(), "Some-One/closet");
  cached.create_folders();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&cached] {
      for (int n = 0; n < 200; ++n) {
        const std::string hash(40, static_cast<char>('a' + n % 2));
        EXPECT_NO_THROW(cached.link(FakeHub::kCommit, "config.json", hash));
      }
    });
  }
  threads.clear();
  std::size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(cached.snapshot(FakeHub::kCommit))) {
    EXPECT_EQ(entry.path().filename(), "config.json");
    ++entries;
  }
  EXPECT_EQ(entries, 1U);
}

TEST_F(Pull, SeveralAtOnceDownloadEachFileOnce) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_NO_THROW(pull_main()); });
  }
  threads.clear();
  EXPECT_EQ(hub_.cdn_requests().size(), 1U);
  EXPECT_EQ(content_of(model() / "snapshots" / FakeHub::kCommit / "model.safetensors"),
            hub_.files.at("model.safetensors"));
}

}  // namespace
}  // namespace itemcrop::hub
