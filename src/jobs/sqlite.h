#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace itemcrop::jobs {

/// A prepared statement in use: parameters are bound in order by `<<`, columns read by index (from
/// 0). Given back clean at the end of its scope.
class Query {
 public:
  Query(sqlite3* database, sqlite3_stmt* statement, const std::string& file) noexcept
      : database_(database), statement_(statement), file_(file) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& operator<<(std::int64_t value);
  Query& operator<<(std::string_view text);  ///< borrowed until the end of the scope
  Query& blob(std::string_view bytes);       ///< likewise

  bool row();  ///< steps; false: no (more) rows
  void run();  ///< steps a statement that gives no rows

  std::int64_t integer(int column) const;
  std::string text(int column) const;  ///< of a text or blob column; empty for null

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_;
  const std::string& file_;
  int bound_ = 0;
};

/// One connection to an SQLite file. Not thread-safe. Every failure is an Error: kIo (disk full,
/// damaged, ...), kUnavailable (locked by another process), kOutOfMemory; the message names the
/// file.
class Database {
 public:
  explicit Database(const std::filesystem::path& file);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Statements without parameters or rows of interest.
  void execute(const char* sql);
  /// Prepared once and kept. One use of a statement at a time.
  Query query(std::string_view sql);
  std::int64_t integer(std::string_view sql);  ///< first column of the first row; 0 for none
  std::int64_t changes() const noexcept;       ///< rows of the last statement
  std::int64_t last_row() const noexcept;      ///< rowid of the last insert

 private:
  friend class Transaction;
  void close() noexcept;

  std::string file_;
  sqlite3* database_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

/// Rolled back by the destructor unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  Database& database_;
};

}  // namespace itemcrop::jobs
