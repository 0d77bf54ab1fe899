/* Connections and their statements. See db.h. A statement in use is marked, so that the same SQL
 * used again meanwhile (a query inside a loop over a query) gets a statement of its own, which is
 * finalised when released. */
#include "db.h"

#include "alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { CACHE_SIZE = 64, BUSY_MS = 5000 };

typedef struct cached {
  char *sql; // owned
  size_t len;
  sqlite3_stmt *stmt;
  uint64_t used; // tick of the last use
  bool busy;
} cached;

struct pai_db {
  sqlite3 *handle;
  cached cache[CACHE_SIZE];
  uint64_t tick;
  int last; // extended result code of the last failure, 0 = not SQLite's
};

static const struct {
  int code;
  const char *name;
} names[] = {
#define NAME(code)                                                                                 \
  { code, #code }
    NAME(SQLITE_ERROR),
    NAME(SQLITE_INTERNAL),
    NAME(SQLITE_PERM),
    NAME(SQLITE_ABORT),
    NAME(SQLITE_BUSY),
    NAME(SQLITE_LOCKED),
    NAME(SQLITE_NOMEM),
    NAME(SQLITE_READONLY),
    NAME(SQLITE_INTERRUPT),
    NAME(SQLITE_IOERR),
    NAME(SQLITE_CORRUPT),
    NAME(SQLITE_FULL),
    NAME(SQLITE_CANTOPEN),
    NAME(SQLITE_PROTOCOL),
    NAME(SQLITE_SCHEMA),
    NAME(SQLITE_TOOBIG),
    NAME(SQLITE_CONSTRAINT),
    NAME(SQLITE_MISMATCH),
    NAME(SQLITE_MISUSE),
    NAME(SQLITE_AUTH),
    NAME(SQLITE_RANGE),
    NAME(SQLITE_NOTADB),
    NAME(SQLITE_BUSY_SNAPSHOT),
    NAME(SQLITE_BUSY_RECOVERY),
    NAME(SQLITE_CONSTRAINT_CHECK),
    NAME(SQLITE_CONSTRAINT_FOREIGNKEY),
    NAME(SQLITE_CONSTRAINT_NOTNULL),
    NAME(SQLITE_CONSTRAINT_PRIMARYKEY),
    NAME(SQLITE_CONSTRAINT_ROWID),
    NAME(SQLITE_CONSTRAINT_TRIGGER),
    NAME(SQLITE_CONSTRAINT_UNIQUE),
#undef NAME
};

static const char *find_name(int code) {
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].code == code)
      return names[i].name;
  return NULL;
}

const char *pai_db_error_name(const pai_db *db) {
  if (db->last == 0)
    return NULL;
  const char *name = find_name(db->last);
  if (name == NULL)
    name = find_name(db->last & 0xff);
  return name != NULL ? name : "SQLITE_ERROR";
}

bool pai_db_error_retryable(const pai_db *db) {
  int primary = db->last & 0xff;
  return primary == SQLITE_BUSY || primary == SQLITE_LOCKED;
}

sqlite3 *pai_db_handle(pai_db *db) {
  return db->handle;
}

static int sql_error(pai_db *db, int rc, const char *what, pai_error *err) {
  db->last = rc;
  const char *why = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
  int code = (rc & 0xff) == SQLITE_NOMEM ? PAI_E_NOMEM : PAI_E_INTERNAL;
  return pai_error_set(err, code, "%s: %s", what, why);
}

// 0, or an error of ours, which leaves no SQLite code behind.
static int own_error(pai_db *db, int code, const char *why, pai_error *err) {
  db->last = 0;
  return pai_error_set(err, code, "%s", why);
}

int pai_db_exec(pai_db *db, const char *sql, pai_error *err) {
  int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
  return rc == SQLITE_OK ? 0 : sql_error(db, rc, "run SQL", err);
}

// SQLite would make the file with the usual mode, readable by others.
static int make_private(const char *path, pai_error *err) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return pai_error_sys(err, errno, "open the database \"%s\"", path);
  close(fd);
  return 0;
}

static int set_up(pai_db *db, const pai_db_options *o, pai_error *err) {
  sqlite3_busy_timeout(db->handle, BUSY_MS);
  sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  int rc = pai_db_exec(db, "PRAGMA foreign_keys = ON", err);
  if (rc == 0 && o->readonly)
    return pai_db_exec(db, "SELECT count(*) FROM sqlite_schema", err); // is it a database at all?
  if (rc == 0)
    rc = pai_db_exec(db, "PRAGMA journal_mode = WAL", err);
  if (rc == 0)
    rc = pai_db_exec(db, o->full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                     err);
  return rc;
}

int pai_db_open(const char *path, const pai_db_options *o, pai_db **out, pai_error *err) {
  *out = NULL;
  bool memory = strcmp(path, ":memory:") == 0;
  if (o->readonly && access(path, R_OK) != 0)
    return pai_error_sys(err, errno, "open the database \"%s\"", path);
  if (!o->readonly && !memory) {
    int rc = make_private(path, err);
    if (rc < 0)
      return rc;
  }
  pai_db *db = pai_calloc(1, sizeof *db);
  if (db == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
              (o->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  *out = db; // also on failure: the caller asks it for the name of the error, then closes it
  int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
  if (rc != SQLITE_OK)
    return sql_error(db, rc, "open the database", err);
  return set_up(db, o, err);
}

void pai_db_close(pai_db *db) {
  if (db == NULL)
    return;
  for (size_t i = 0; i < CACHE_SIZE; i++) {
    if (!db->cache[i].busy)
      sqlite3_finalize(db->cache[i].stmt);
    pai_free(db->cache[i].sql);
  }
  sqlite3_close_v2(db->handle); // goes when the last statement in use has been finalised
  pai_free(db);
}

static cached *find_cached(pai_db *db, const char *sql, size_t len) {
  for (size_t i = 0; i < CACHE_SIZE; i++) {
    cached *c = &db->cache[i];
    if (c->stmt != NULL && !c->busy && c->len == len && memcmp(c->sql, sql, len) == 0)
      return c;
  }
  return NULL;
}

// A free place, or that of the statement that was used least lately; NULL when all are in use.
static cached *find_place(pai_db *db) {
  cached *place = NULL;
  for (size_t i = 0; i < CACHE_SIZE; i++) {
    cached *c = &db->cache[i];
    if (!c->busy && (place == NULL || c->used < place->used))
      place = c;
  }
  if (place != NULL && place->stmt != NULL) {
    sqlite3_finalize(place->stmt);
    pai_free(place->sql);
    *place = (cached){0};
  }
  return place;
}

static bool is_blank(const char *s, const char *end) {
  for (; s < end; s++)
    if (strchr(" \t\r\n;", *s) == NULL || *s == '\0')
      return false;
  return true;
}

int pai_db_prepare(pai_db *db, const char *sql, size_t len, sqlite3_stmt **out, pai_error *err) {
  cached *c = find_cached(db, sql, len);
  if (c != NULL) {
    c->busy = true;
    c->used = ++db->tick;
    *out = c->stmt;
    return 0;
  }
  *out = NULL;
  if (len > (size_t)INT32_MAX)
    return own_error(db, PAI_E_ARG, "the SQL text is too long", err);
  const char *tail = NULL;
  int rc = sqlite3_prepare_v3(db->handle, sql, (int)len, SQLITE_PREPARE_PERSISTENT, out, &tail);
  if (rc != SQLITE_OK)
    return sql_error(db, rc, "prepare SQL", err);
  if (*out == NULL || !is_blank(tail, sql + len)) {
    sqlite3_finalize(*out);
    *out = NULL;
    return own_error(db, PAI_E_ARG, "one SQL statement at a time (exec takes several)", err);
  }
  c = find_place(db);
  char *copy = c != NULL ? pai_strndup(sql, len) : NULL;
  if (copy != NULL)
    *c = (cached){.sql = copy, .len = len, .stmt = *out, .used = ++db->tick, .busy = true};
  return 0; // without a place in the cache it works as well
}

int pai_db_step(pai_db *db, sqlite3_stmt *stmt, pai_error *err) {
  int rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW)
    return 1;
  return rc == SQLITE_DONE ? 0 : sql_error(db, rc, "run SQL", err);
}

void pai_db_release(pai_db *db, sqlite3_stmt *stmt) {
  for (size_t i = 0; i < CACHE_SIZE; i++) {
    if (db->cache[i].stmt == stmt) {
      sqlite3_reset(stmt);
      sqlite3_clear_bindings(stmt);
      db->cache[i].busy = false;
      return;
    }
  }
  sqlite3_finalize(stmt);
}
