/* SQLite connections with a cache of prepared statements. WAL, foreign keys on, 5 s of patience
 * with another writer (during which the whole process waits: keep transactions short). */
#ifndef PAI_DB_H
#define PAI_DB_H

#include "error.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct pai_db pai_db;

typedef struct pai_db_options {
  bool readonly;  // the file must exist; nothing is written, not even the journal mode
  bool full_sync; // every commit reaches the disk; else a power cut may lose the last ones
} pai_db_options;

// A new file is made with mode 0600. ":memory:" is a database of this connection alone.
int pai_db_open(const char *path, const pai_db_options *o, pai_db **out, pai_error *err);
void pai_db_close(pai_db *db); // finalises everything; NULL is fine

// Runs any number of statements and drops their rows.
int pai_db_exec(pai_db *db, const char *sql, pai_error *err);
// A prepared statement, borrowed until pai_db_release. PAI_E_ARG: none or several statements.
int pai_db_prepare(pai_db *db, const char *sql, size_t len, sqlite3_stmt **out, pai_error *err);
// 1: a row is there; 0: done.
int pai_db_step(pai_db *db, sqlite3_stmt *stmt, pai_error *err);
void pai_db_release(pai_db *db, sqlite3_stmt *stmt);
// What went wrong last, for the code of an error: "SQLITE_BUSY". Borrowed, constant; NULL after an
// error that is not SQLite's.
const char *pai_db_error_name(const pai_db *db);
bool pai_db_error_retryable(const pai_db *db);
sqlite3 *pai_db_handle(pai_db *db); // borrowed

#endif
