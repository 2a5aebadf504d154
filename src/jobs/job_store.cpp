#include "jobs/job_store.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "core/budget.h"
#include "core/hexadecimal.h"
#include "jobs/sqlite.h"

namespace itemcrop::jobs {

struct Subscription::Listener {
  // Recursive: a listener may end its own subscription.
  std::recursive_mutex mutex;
  std::function<void()> changed;

  void call() {
    const std::lock_guard lock(mutex);
    const std::function<void()> function = changed;
    if (function) function();
  }
};

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    reset();
    listener_ = std::move(other.listener_);
  }
  return *this;
}

void Subscription::reset() noexcept {
  const std::shared_ptr<Listener> listener = std::move(listener_);
  listener_ = nullptr;
  if (listener == nullptr) return;
  const std::lock_guard lock(listener->mutex);
  listener->changed = nullptr;
}

namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::int64_t kApplicationId = 0x69637270;  // "icrp"
constexpr std::int64_t kMaxPage = 1000;
constexpr std::size_t kDeletedASweep = 20;
constexpr std::int64_t kEmptyPages = 12;  ///< of a journal without a job

// bytes: of options, sources, waiting images and results, and row_bytes an image. event,
// done_after, failed_after: null until the image has its result.
constexpr const char* kSchema = R"sql(
CREATE TABLE jobs(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  status INTEGER NOT NULL,
  options TEXT NOT NULL,
  owner TEXT NOT NULL,
  total INTEGER NOT NULL,
  done INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX jobs_finished ON jobs(finished_ms) WHERE finished_ms > 0;
CREATE TABLE images(
  job INTEGER NOT NULL,
  position INTEGER NOT NULL,
  id TEXT NOT NULL,
  source TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  result TEXT,
  event INTEGER,
  done_after INTEGER,
  failed_after INTEGER,
  PRIMARY KEY(job, position)) STRICT;
CREATE UNIQUE INDEX images_by_event ON images(job, event) WHERE event IS NOT NULL;
CREATE TABLE pictures(
  job INTEGER NOT NULL,
  position INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY(job, position)) STRICT;
)sql";

std::int64_t to_ms(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
WallTime from_ms(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }
std::int64_t now_ms() { return to_ms(std::chrono::system_clock::now()); }

void check_page(std::string_view field, std::int64_t from, std::int64_t limit) {
  if (from < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(field) + " must be at least 0, got " + std::to_string(from));
  }
  if (limit < 1 || limit > kMaxPage) {
    throw Error(ErrorCode::kInvalidArgument, "limit must be 1 to " + std::to_string(kMaxPage) +
                                                 ", got " + std::to_string(limit));
  }
}

void check_size(const std::string& field, std::size_t bytes, std::size_t limit) {
  if (bytes > limit) {
    throw Error(ErrorCode::kLimitExceeded, field + " may have at most " + std::to_string(limit) +
                                               " bytes, got " + std::to_string(bytes));
  }
}

[[noreturn]] void unknown(std::string_view id) {
  throw Error(ErrorCode::kNotFound,
              "job \"" + std::string(id.substr(0, 64)) + "\" does not exist or has expired");
}

}  // namespace

class JobStore::Impl {
 public:
  explicit Impl(JobStoreOptions options);

  JobInfo create(const NewJob& job);
  std::optional<JobInfo> find(std::string_view id) {
    const std::lock_guard lock(mutex_);
    std::optional<Row> row = row_of(id);
    if (!row) return std::nullopt;
    return std::move(row->info);
  }
  ResultsPage results(std::string_view id, std::int64_t offset, std::int64_t limit);
  EventsPage events(std::string_view id, std::int64_t after, std::int64_t limit);
  JobInfo cancel(std::string_view id);
  JobCounts counts();
  Subscription subscribe(std::string_view id, std::function<void()> changed);
  std::optional<JobImage> claim();
  void release(const JobImage& image) noexcept;
  bool finish(const JobImage& image, std::string_view result, bool failed);
  std::size_t sweep(WallTime now);
  void on_available(std::function<void()> available) {
    const std::lock_guard lock(available_mutex_);
    available_ = std::move(available);
  }

  const JobStoreOptions options_;

 private:
  struct Row {
    std::int64_t number = 0;
    std::int64_t bytes = 0;
    JobInfo info;
  };
  /// An unfinished job: what is handed out is known to this process only, so that after a crash
  /// everything without a result is handed out again.
  struct Active {
    std::int64_t number = 0;
    std::string id;
    std::shared_ptr<const std::string> options;
    std::string owner;
    bool running = false;
    std::int64_t next = 0;              ///< positions below were handed out once
    std::set<std::int64_t> handed_out;  ///< and are not back
    std::deque<std::int64_t> returned;  ///< to be handed out again
  };
  /// What one owner's jobs hold.
  struct Share {
    std::uint64_t bytes = 0;
    std::size_t jobs = 0;
    std::size_t unfinished = 0;
  };
  using Listeners = std::vector<std::shared_ptr<Subscription::Listener>>;

  // All with mutex_ held.
  void prepare_file();
  void load_active();
  std::optional<Row> row_of(std::string_view id);
  Row need(std::string_view id) {
    std::optional<Row> row = row_of(id);
    if (!row) unknown(id);
    return std::move(*row);
  }
  std::list<Active>::iterator active_of(std::string_view id) {
    return std::ranges::find(active_, id, &Active::id);
  }
  std::optional<std::int64_t> next_position(Active& job);
  std::int64_t image_bytes(std::int64_t job);
  void remove(std::int64_t number, std::int64_t bytes, const std::string& owner);
  /// What one owner may hold of `total`, of which `used` are in use, `held` of them their own.
  std::uint64_t owners_part(std::uint64_t total, std::uint64_t used, std::uint64_t held) const;
  /// What all jobs take: as counted or, where that is more, as the file has it. Pages that are not
  /// full make the latter up to twice as much.
  std::uint64_t all_bytes();
  void refuse_past_limits(const std::string& owner, std::uint64_t bytes);
  void refuse_result(const std::string& owner, std::uint64_t bytes);
  void grow(const std::string& owner, std::int64_t bytes) {
    bytes_ += static_cast<std::uint64_t>(bytes);
    shares_[owner].bytes += static_cast<std::uint64_t>(bytes);
  }
  Listeners listeners_of(std::string_view id);

  // Without it.
  static void notify(const Listeners& listeners) {
    for (const auto& listener : listeners) listener->call();
  }
  void announce() {
    std::function<void()> available;
    {
      const std::lock_guard lock(available_mutex_);
      available = available_;
    }
    if (available) available();
  }

  std::mutex mutex_;
  Database database_;
  std::list<Active> active_;             ///< the next to be handed out from is first
  std::uint64_t bytes_ = 0;              ///< of all jobs
  std::map<std::string, Share> shares_;  ///< by owner; those without a job are left out
  std::int64_t jobs_ = 0;
  std::multimap<std::string, std::weak_ptr<Subscription::Listener>, std::less<>> listeners_;

  std::mutex available_mutex_;
  std::function<void()> available_;
};

// ---- Opening --------------------------------------------------------------------------------

JobStore::Impl::Impl(JobStoreOptions options)
    : options_([&] {
        const std::filesystem::path folder = options.file.parent_path();
        if (!folder.empty() && !std::filesystem::is_directory(folder)) {
          throw Error(ErrorCode::kNotFound, folder.string() + ": the journal's folder is missing");
        }
        return std::move(options);
      }()),
      database_(options_.file) {
  prepare_file();
  load_active();
}

void JobStore::Impl::prepare_file() {
  // Exclusive: two processes would process every image twice. It needs no shared memory file.
  database_.execute("PRAGMA locking_mode = EXCLUSIVE");
  const bool is_new = database_.integer("SELECT count(*) FROM sqlite_schema") == 0 &&
                      database_.integer("PRAGMA user_version") == 0;
  if (!is_new) {
    const std::string file = options_.file.string();
    if (database_.integer("PRAGMA application_id") != kApplicationId) {
      throw Error(ErrorCode::kIo, file + ": this is not a journal of jobs");
    }
    const std::int64_t version = database_.integer("PRAGMA user_version");
    if (version != kSchemaVersion) {
      throw Error(ErrorCode::kIo, file + ": the journal of jobs has version " +
                                      std::to_string(version) + ", this build reads " +
                                      std::to_string(kSchemaVersion));
    }
  } else {
    database_.execute("PRAGMA auto_vacuum = INCREMENTAL");  // before the first table
  }
  // A cache of 256 KiB: what is written here is read once, and SQLite now and then drops its cache
  // and fills it anew, which in its usual 2 MB looks like a leak for minutes.
  database_.execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = "
      "67108864; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -256");
  Transaction transaction(database_);  // takes the lock, also if there is nothing to write
  if (is_new) {
    database_.execute(kSchema);
    database_.execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
    database_.execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  }
  transaction.commit();
}

void JobStore::Impl::load_active() {
  {
    Query query = database_.query("SELECT count(*), coalesce(sum(bytes), 0) FROM jobs");
    query.row();
    jobs_ = query.integer(0);
    bytes_ = static_cast<std::uint64_t>(query.integer(1));
  }
  {
    Query query = database_.query(
        "SELECT owner, sum(bytes), count(*), sum(finished_ms = 0) FROM jobs GROUP BY owner");
    while (query.row()) {
      shares_[query.text(0)] = {static_cast<std::uint64_t>(query.integer(1)),
                                static_cast<std::size_t>(query.integer(2)),
                                static_cast<std::size_t>(query.integer(3))};
    }
  }
  Query query = database_.query(
      "SELECT number, id, options, owner, status FROM jobs WHERE finished_ms = 0 ORDER BY number");
  while (query.row()) {
    Active job;
    job.number = query.integer(0);
    job.id = query.text(1);
    job.options = std::make_shared<const std::string>(query.text(2));
    job.owner = query.text(3);
    job.running = query.integer(4) == static_cast<std::int64_t>(JobStatus::kRunning);
    active_.push_back(std::move(job));
  }
}

// ---- For clients ----------------------------------------------------------------------------

std::optional<JobStore::Impl::Row> JobStore::Impl::row_of(std::string_view id) {
  Query query = database_.query(
      "SELECT number, id, status, options, owner, total, done, failed, created_ms, finished_ms, "
      "bytes FROM jobs WHERE id = ?");
  query << id;
  if (!query.row()) return std::nullopt;
  Row row;
  row.number = query.integer(0);
  row.info.id = query.text(1);
  row.info.status = static_cast<JobStatus>(query.integer(2));
  row.info.options = query.text(3);
  row.info.owner = query.text(4);
  row.info.total = query.integer(5);
  row.info.done = query.integer(6);
  row.info.failed = query.integer(7);
  if (row.info.status == JobStatus::kDone && row.info.done == 0) {
    row.info.status = JobStatus::kFailed;
  }
  row.info.last_event = row.info.done + row.info.failed;
  row.info.created = from_ms(query.integer(8));
  row.info.finished = from_ms(query.integer(9));
  row.bytes = query.integer(10);
  return row;
}

std::uint64_t JobStore::Impl::owners_part(std::uint64_t total, std::uint64_t used,
                                          std::uint64_t held) const {
  const std::uint64_t others = held > 0 ? used - held : 0;
  return static_cast<std::uint64_t>(share_beside(
      static_cast<std::int64_t>(total), static_cast<std::int64_t>(others), options_.owner_share));
}

std::uint64_t JobStore::Impl::all_bytes() {
  const std::int64_t pages = database_.integer("PRAGMA page_count") -
                             database_.integer("PRAGMA freelist_count") - kEmptyPages;
  const std::int64_t stored = pages * database_.integer("PRAGMA page_size");
  return std::max(bytes_, static_cast<std::uint64_t>(std::max<std::int64_t>(stored, 0)));
}

void JobStore::Impl::refuse_past_limits(const std::string& owner, std::uint64_t bytes) {
  const Share share = owner.empty() || !shares_.contains(owner) ? Share{} : shares_.at(owner);
  const auto check_jobs = [](std::size_t unfinished, std::size_t most, const std::string& whose) {
    if (unfinished < most) return;
    throw Error(ErrorCode::kOverloaded, std::to_string(unfinished) + whose +
                                            " jobs are unfinished already (at most " +
                                            std::to_string(most) + ")");
  };
  check_jobs(active_.size(), options_.max_unfinished, "");
  check_jobs(share.unfinished,
             owners_part(options_.max_unfinished, active_.size(), share.unfinished), " of your");
  const auto check_bytes = [&](std::uint64_t held, std::uint64_t most, const std::string& whose) {
    if (held + bytes <= most) return;
    throw Error(ErrorCode::kOverloaded, "the journal of jobs holds " + std::to_string(held) +
                                            " bytes" + whose + " of at most " +
                                            std::to_string(most) + "; this job has " +
                                            std::to_string(bytes));
  };
  check_bytes(all_bytes(), options_.max_bytes, "");
  check_bytes(share.bytes, owners_part(options_.max_bytes, bytes_, share.bytes), " of yours");
}

void JobStore::Impl::refuse_result(const std::string& owner, std::uint64_t bytes) {
  const auto check = [&](std::uint64_t held, std::uint64_t most, const std::string& whose) {
    if (held + bytes <= most) return;
    throw Error(ErrorCode::kLimitExceeded, "the journal of jobs holds " + std::to_string(held) +
                                               " bytes" + whose + " of at most " +
                                               std::to_string(most) + "; this result has " +
                                               std::to_string(bytes));
  };
  check(all_bytes(), options_.max_bytes, "");
  if (owner.empty()) return;
  // As if alone: what others add must not fail a job that was taken.
  const std::uint64_t held = shares_[owner].bytes;
  check(held, owners_part(options_.max_bytes, held, held), " of yours");
}

JobInfo JobStore::Impl::create(const NewJob& job) {
  if (job.images.empty()) throw Error(ErrorCode::kInvalidArgument, "images must not be empty");
  if (job.images.size() > options_.max_images) {
    throw Error(ErrorCode::kLimitExceeded, "images: a job may have at most " +
                                               std::to_string(options_.max_images) + ", got " +
                                               std::to_string(job.images.size()));
  }
  check_size("options", job.options.size(), options_.max_text_bytes);
  check_size("owner", job.owner.size(), options_.max_text_bytes);
  std::uint64_t bytes = job.options.size() + job.owner.size();
  for (std::size_t i = 0; i < job.images.size(); ++i) {
    const NewImage& image = job.images[i];
    const std::string field = "images[" + std::to_string(i) + "]";
    check_size(field + ".id", image.id.size(), options_.max_text_bytes);
    check_size(field + " source", image.source.size(), options_.max_text_bytes);
    check_size(field, image.bytes.size(), options_.max_image_bytes);
    bytes += options_.row_bytes + image.id.size() + image.source.size() + image.bytes.size();
  }

  JobInfo info;
  info.id = "job_" + random_hexadecimal(16);
  info.options = job.options;
  info.owner = job.owner;
  info.total = static_cast<std::int64_t>(job.images.size());
  info.created = from_ms(now_ms());
  Listeners listeners;
  {
    const std::lock_guard lock(mutex_);
    refuse_past_limits(job.owner, bytes);
    // What a client was told is stored must survive a power failure; a result can be computed
    // again.
    struct Durable {
      Database& database;
      explicit Durable(Database& on) : database(on) {
        database.execute("PRAGMA synchronous = FULL");
      }
      ~Durable() {
        try {
          database.execute("PRAGMA synchronous = NORMAL");
        } catch (const Error&) {  // only slower
        }
      }
    } const durable(database_);
    Transaction transaction(database_);
    (database_.query("INSERT INTO jobs(id, status, options, owner, total, bytes, created_ms) "
                     "VALUES(?, 0, ?, ?, ?, ?, ?)")
     << info.id << job.options << job.owner << info.total << static_cast<std::int64_t>(bytes)
     << to_ms(info.created))
        .run();
    const std::int64_t number = database_.last_row();
    for (std::size_t i = 0; i < job.images.size(); ++i) {
      const NewImage& image = job.images[i];
      const auto position = static_cast<std::int64_t>(i);
      (database_.query("INSERT INTO images(job, position, id, source) VALUES(?, ?, ?, ?)")
       << number << position << image.id << image.source)
          .run();
      if (image.bytes.empty()) continue;
      (database_.query("INSERT INTO pictures(job, position, bytes) VALUES(?, ?, ?)")
       << number << position)
          .blob(image.bytes)
          .run();
    }
    Active active;
    active.number = number;
    active.id = info.id;
    active.options = std::make_shared<const std::string>(job.options);
    active.owner = job.owner;
    std::list<Active> node;  // whatever can throw comes before the commit
    node.push_back(std::move(active));
    Share& share = shares_[job.owner];
    transaction.commit();
    active_.splice(active_.end(), node);
    grow(job.owner, static_cast<std::int64_t>(bytes));
    ++share.jobs;
    ++share.unfinished;
    ++jobs_;
    listeners = listeners_of(info.id);
  }
  notify(listeners);
  announce();
  return info;
}

ResultsPage JobStore::Impl::results(std::string_view id, std::int64_t offset, std::int64_t limit) {
  check_page("offset", offset, limit);
  const std::lock_guard lock(mutex_);
  Row row = need(id);
  ResultsPage page;
  page.job = std::move(row.info);
  Query query = database_.query(
      "SELECT position, id, state, result FROM images WHERE job = ? AND position >= ? "
      "ORDER BY position LIMIT ?");
  query << row.number << offset << limit;
  std::size_t bytes = 0;
  while (bytes < options_.max_page_bytes && query.row()) {
    ImageResult image{query.integer(0), query.text(1), static_cast<ImageState>(query.integer(2)),
                      query.text(3)};
    bytes += image.id.size() + image.result.size();
    page.images.push_back(std::move(image));
  }
  return page;
}

EventsPage JobStore::Impl::events(std::string_view id, std::int64_t after, std::int64_t limit) {
  check_page("after", after, limit);
  const std::lock_guard lock(mutex_);
  Row row = need(id);
  EventsPage page;
  page.job = std::move(row.info);
  Query query = database_.query(
      "SELECT event, position, id, state, result, done_after, failed_after FROM images "
      "WHERE job = ? AND event > ? ORDER BY event LIMIT ?");
  query << row.number << after << limit;
  std::size_t bytes = 0;
  std::int64_t last = after;
  while (bytes < options_.max_page_bytes && query.row()) {
    JobEvent event;
    event.sequence = query.integer(0);
    event.image = {query.integer(1), query.text(2), static_cast<ImageState>(query.integer(3)),
                   query.text(4)};
    event.done = query.integer(5);
    event.failed = query.integer(6);
    bytes += event.image.id.size() + event.image.result.size();
    last = event.sequence;
    page.events.push_back(std::move(event));
  }
  page.complete = page.job.finished_for_good() && last >= page.job.last_event;
  return page;
}

std::int64_t JobStore::Impl::image_bytes(std::int64_t job) {
  Query query =
      database_.query("SELECT coalesce(sum(length(bytes)), 0) FROM pictures WHERE job = ?");
  query << job;
  return query.row() ? query.integer(0) : 0;
}

JobInfo JobStore::Impl::cancel(std::string_view id) {
  JobInfo info;
  Listeners listeners;
  {
    const std::lock_guard lock(mutex_);
    Row row = need(id);
    info = std::move(row.info);
    if (info.finished_for_good()) return info;
    info.status = JobStatus::kCancelled;
    info.finished = from_ms(now_ms());
    Transaction transaction(database_);
    const std::int64_t freed = image_bytes(row.number);
    (database_.query("UPDATE images SET state = 3 WHERE job = ? AND state = 0") << row.number)
        .run();
    (database_.query("DELETE FROM pictures WHERE job = ?") << row.number).run();
    (database_.query("UPDATE jobs SET status = 3, finished_ms = ?, bytes = bytes - ? "
                     "WHERE number = ?")
     << to_ms(info.finished) << freed << row.number)
        .run();
    transaction.commit();
    grow(info.owner, -freed);
    const auto active = active_of(id);
    if (active != active_.end()) active_.erase(active);
    --shares_[info.owner].unfinished;
    listeners = listeners_of(id);
  }
  notify(listeners);
  return info;
}

JobCounts JobStore::Impl::counts() {
  const std::lock_guard lock(mutex_);
  JobCounts counts;
  counts.bytes = all_bytes();
  Query query = database_.query(
      "SELECT CASE WHEN status = ? AND done = 0 THEN ? ELSE status END AS shown, count(*) FROM "
      "jobs "
      "GROUP BY shown");
  query << static_cast<std::int64_t>(JobStatus::kDone)
        << static_cast<std::int64_t>(JobStatus::kFailed);
  while (query.row()) {
    const std::int64_t number = query.integer(1);
    switch (static_cast<JobStatus>(query.integer(0))) {
      case JobStatus::kQueued:
        counts.queued = number;
        break;
      case JobStatus::kRunning:
        counts.running = number;
        break;
      case JobStatus::kDone:
        counts.done = number;
        break;
      case JobStatus::kCancelled:
        counts.cancelled = number;
        break;
      case JobStatus::kFailed:
        counts.failed = number;
        break;
    }
  }
  return counts;
}

Subscription JobStore::Impl::subscribe(std::string_view id, std::function<void()> changed) {
  auto listener = std::make_shared<Subscription::Listener>();
  listener->changed = std::move(changed);
  const std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [](const auto& entry) { return entry.second.expired(); });
  listeners_.emplace(std::string(id), listener);
  return Subscription(std::move(listener));
}

JobStore::Impl::Listeners JobStore::Impl::listeners_of(std::string_view id) {
  Listeners listeners;
  const auto [begin, end] = listeners_.equal_range(id);
  for (auto entry = begin; entry != end; ++entry) {
    if (auto listener = entry->second.lock()) listeners.push_back(std::move(listener));
  }
  return listeners;
}

// ---- For the runner -------------------------------------------------------------------------

std::optional<std::int64_t> JobStore::Impl::next_position(Active& job) {
  if (!job.returned.empty()) {
    const std::int64_t position = job.returned.front();
    job.returned.pop_front();
    return position;
  }
  Query query = database_.query(
      "SELECT position FROM images WHERE job = ? AND position >= ? AND state = 0 "
      "ORDER BY position LIMIT 1");
  query << job.number << job.next;
  if (!query.row()) {
    job.next = std::numeric_limits<std::int64_t>::max();
    return std::nullopt;
  }
  job.next = query.integer(0) + 1;
  return query.integer(0);
}

std::optional<JobImage> JobStore::Impl::claim() {
  Listeners listeners;
  std::optional<JobImage> claimed;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t turns = active_.size(); turns > 0; --turns) {
      active_.splice(active_.end(), active_, active_.begin());  // the next one's turn comes next
      Active& job = active_.back();
      const std::optional<std::int64_t> position = next_position(job);
      if (!position) continue;
      try {
        JobImage image;
        image.job_id = job.id;
        image.options = job.options;
        image.owner = job.owner;
        image.position = *position;
        {
          Query query =
              database_.query("SELECT id, source FROM images WHERE job = ? AND position = ?");
          query << job.number << *position;
          query.row();
          image.id = query.text(0);
          image.source = query.text(1);
        }
        {
          Query query =
              database_.query("SELECT bytes FROM pictures WHERE job = ? AND position = ?");
          query << job.number << *position;
          if (query.row()) image.bytes = query.text(0);
        }
        if (!job.running) {
          (database_.query("UPDATE jobs SET status = 1 WHERE number = ?") << job.number).run();
          job.running = true;
          listeners = listeners_of(job.id);
        }
        job.handed_out.insert(*position);
        claimed = std::move(image);
      } catch (...) {
        job.returned.push_back(*position);
        throw;
      }
      break;
    }
  }
  notify(listeners);
  return claimed;
}

void JobStore::Impl::release(const JobImage& image) noexcept {
  {
    const std::lock_guard lock(mutex_);
    const auto job = active_of(image.job_id);
    if (job == active_.end() || job->handed_out.erase(image.position) == 0) return;
    job->returned.push_back(image.position);
  }
  announce();
}

bool JobStore::Impl::finish(const JobImage& image, std::string_view result, bool failed) {
  check_size("result", result.size(), options_.max_result_bytes);
  Listeners listeners;
  {
    const std::lock_guard lock(mutex_);
    const auto job = active_of(image.job_id);
    if (job == active_.end() || !job->handed_out.contains(image.position)) return false;
    const std::int64_t number = job->number;
    const std::int64_t grown =
        static_cast<std::int64_t>(result.size()) - static_cast<std::int64_t>(image.bytes.size());
    // A failure is small, and says why; an image without any result would be tried for ever.
    if (!failed && grown > 0) refuse_result(job->owner, static_cast<std::uint64_t>(grown));
    Transaction transaction(database_);
    std::int64_t done = 0;
    std::int64_t undone = 0;
    std::int64_t total = 0;
    {
      Query query = database_.query("SELECT total, done, failed FROM jobs WHERE number = ?");
      query << number;
      query.row();
      total = query.integer(0);
      done = query.integer(1) + (failed ? 0 : 1);
      undone = query.integer(2) + (failed ? 1 : 0);
    }
    (database_.query("UPDATE images SET state = ?, result = ?, event = ?, done_after = ?, "
                     "failed_after = ? WHERE job = ? AND position = ? AND state = 0")
     << static_cast<std::int64_t>(failed ? ImageState::kFailed : ImageState::kDone) << result
     << done + undone << done << undone << number << image.position)
        .run();
    if (database_.changes() == 0) {
      throw Error(ErrorCode::kInternal, "image " + std::to_string(image.position) + " of job " +
                                            image.job_id + " has a result already");
    }
    (database_.query("DELETE FROM pictures WHERE job = ? AND position = ?")
     << number << image.position)
        .run();
    const bool last = done + undone == total;
    (database_.query("UPDATE jobs SET status = ?, done = ?, failed = ?, bytes = bytes + ?, "
                     "finished_ms = ? WHERE number = ?")
     << static_cast<std::int64_t>(last ? JobStatus::kDone : JobStatus::kRunning) << done << undone
     << grown << (last ? now_ms() : 0) << number)
        .run();
    transaction.commit();
    grow(job->owner, grown);
    if (last) {
      --shares_[job->owner].unfinished;
      active_.erase(job);
    } else {
      job->running = true;
      job->handed_out.erase(image.position);
    }
    listeners = listeners_of(image.job_id);
  }
  notify(listeners);
  return true;
}

// ---- Retention ------------------------------------------------------------------------------

void JobStore::Impl::remove(std::int64_t number, std::int64_t bytes, const std::string& owner) {
  Transaction transaction(database_);
  (database_.query("DELETE FROM images WHERE job = ?") << number).run();
  (database_.query("DELETE FROM pictures WHERE job = ?") << number).run();
  (database_.query("DELETE FROM jobs WHERE number = ?") << number).run();
  transaction.commit();
  grow(owner, -bytes);
  if (--shares_[owner].jobs == 0) shares_.erase(owner);
  --jobs_;
}

std::size_t JobStore::Impl::sweep(WallTime now) {
  struct Old {
    std::int64_t number;
    std::int64_t bytes;
    std::string owner;
  };
  std::vector<Old> old;
  const std::int64_t before = to_ms(now - options_.retention);
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t spare = jobs_ - static_cast<std::int64_t>(options_.max_jobs);
    Query query = database_.query(
        "SELECT number, bytes, finished_ms, owner FROM jobs WHERE finished_ms > 0 "
        "ORDER BY finished_ms, number LIMIT ?");
    query << static_cast<std::int64_t>(kDeletedASweep);
    while (query.row()) {
      const bool surplus = static_cast<std::int64_t>(old.size()) < spare;
      if (query.integer(2) >= before && !surplus) break;
      old.push_back({query.integer(0), query.integer(1), query.text(3)});
    }
  }
  for (const Old& job : old) {  // others get their turn between
    const std::lock_guard lock(mutex_);
    remove(job.number, job.bytes, job.owner);
  }
  const std::lock_guard lock(mutex_);
  database_.execute("PRAGMA incremental_vacuum(4096)");
  return old.size();
}

// ---- The public interface
// -------------------------------------------------------------------------------

JobStore::JobStore(JobStoreOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
JobStore::~JobStore() = default;

JobInfo JobStore::create(const NewJob& job) { return impl_->create(job); }
std::optional<JobInfo> JobStore::find(std::string_view id) { return impl_->find(id); }
ResultsPage JobStore::results(std::string_view id, std::int64_t offset, std::int64_t limit) {
  return impl_->results(id, offset, limit);
}
EventsPage JobStore::events(std::string_view id, std::int64_t after, std::int64_t limit) {
  return impl_->events(id, after, limit);
}
JobInfo JobStore::cancel(std::string_view id) { return impl_->cancel(id); }
JobCounts JobStore::counts() { return impl_->counts(); }
Subscription JobStore::subscribe(std::string_view id, std::function<void()> changed) {
  return impl_->subscribe(id, std::move(changed));
}
std::optional<JobImage> JobStore::claim() { return impl_->claim(); }
void JobStore::release(const JobImage& image) noexcept { impl_->release(image); }
bool JobStore::finish(const JobImage& image, std::string_view result, bool failed) {
  return impl_->finish(image, result, failed);
}
std::size_t JobStore::sweep(WallTime now) { return impl_->sweep(now); }
void JobStore::on_available(std::function<void()> available) {
  impl_->on_available(std::move(available));
}
const JobStoreOptions& JobStore::options() const noexcept { return impl_->options_; }

}  // namespace itemcrop::jobs
