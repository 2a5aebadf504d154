#include "jobs/sqlite.h"

#include <array>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace itemcrop::jobs {
namespace {

[[noreturn]] void fail(sqlite3* database, int code, const std::string& file) {
  const int primary = code & 0xFF;
  const std::string reason = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorCode::kUnavailable, file + ": another process uses this journal of jobs");
    case SQLITE_NOMEM:
      throw Error(ErrorCode::kOutOfMemory, file + ": out of memory");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      throw Error(ErrorCode::kIo, file + ": the journal of jobs is damaged: " + reason);
    case SQLITE_FULL:
      throw Error(ErrorCode::kIo, file + ": the journal of jobs cannot grow: " + reason);
    default:
      throw Error(ErrorCode::kIo, file + ": the journal of jobs failed: " + reason);
  }
}

/// Makes the file ours alone, before there is anything in it; what SQLite puts beside it gets the
/// same mode. Whatever goes wrong here, opening it says.
void keep_private(const std::string& file) {
  const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made >= 0) ::close(made);
  for (const char* end : {"", "-wal", "-shm", "-journal"}) {
    ::chmod((file + end).c_str(), S_IRUSR | S_IWUSR);
  }
}

}  // namespace

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::operator<<(std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_, ++bound_, value);
  if (code != SQLITE_OK) fail(database_, code, file_);
  return *this;
}

Query& Query::operator<<(std::string_view text) {
  // A null pointer would bind NULL.
  const int code = sqlite3_bind_text64(statement_, ++bound_, text.empty() ? "" : text.data(),
                                       text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) fail(database_, code, file_);
  return *this;
}

Query& Query::blob(std::string_view bytes) {
  const int code = sqlite3_bind_blob64(statement_, ++bound_, bytes.empty() ? "" : bytes.data(),
                                       bytes.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) fail(database_, code, file_);
  return *this;
}

bool Query::row() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) fail(database_, code, file_);
  return false;
}

void Query::run() {
  while (row()) {
  }
}

std::int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (bytes == nullptr || size <= 0) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

Database::Database(const std::filesystem::path& file) : file_(file.string()) {
  keep_private(file_);
  const int code =
      sqlite3_open_v2(file_.c_str(), &database_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    try {
      fail(database_, code, file_);
    } catch (...) {
      close();
      throw;
    }
  }
  sqlite3_extended_result_codes(database_, 1);
  // A process that is being replaced may need a moment to let go.
  sqlite3_busy_timeout(database_, 500);
}

Database::~Database() { close(); }

void Database::close() noexcept {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(database_, code, file_);
}

Query Database::query(std::string_view sql) {
  auto known = statements_.find(sql);
  if (known == statements_.end()) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) fail(database_, code, file_);
    known = statements_.emplace(sql, statement).first;
  }
  return {database_, known->second, file_};
}

std::int64_t Database::integer(std::string_view sql) {
  Query query = this->query(sql);
  return query.row() ? query.integer(0) : 0;
}

std::int64_t Database::changes() const noexcept { return sqlite3_changes64(database_); }
std::int64_t Database::last_row() const noexcept { return sqlite3_last_insert_rowid(database_); }

Transaction::Transaction(Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // Some errors have rolled back already.
  if (sqlite3_get_autocommit(database_.database_) == 0) {
    sqlite3_exec(database_.database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() { database_.execute("COMMIT"); }

}  // namespace itemcrop::jobs
