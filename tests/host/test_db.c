/* The statement cache, and the binding without memory. */
#include "db.h"
#include "nomem_run.h"

#include <stdlib.h>
#include <unistd.h>

int luaopen_pai_db(lua_State *L);

static void cache(void) {
  pai_db *db;
  pai_error err;
  pai_db_options o = {0};
  CHECK(pai_db_open(":memory:", &o, &db, &err) == 0);
  static const char sql[] = "SELECT 1";
  sqlite3_stmt *a, *b, *c;
  CHECK(pai_db_prepare(db, sql, strlen(sql), &a, &err) == 0);
  // in use: the same text gets another statement
  CHECK(pai_db_prepare(db, sql, strlen(sql), &b, &err) == 0 && a != b);
  CHECK(pai_db_step(db, a, &err) == 1 && pai_db_step(db, b, &err) == 1);
  pai_db_release(db, a);
  CHECK(pai_db_prepare(db, sql, strlen(sql), &c, &err) == 0 && c == a);
  // more in use than the cache holds
  sqlite3_stmt *many[200];
  for (int i = 0; i < 200; i++) {
    char text[40];
    snprintf(text, sizeof text, "SELECT %d", i);
    CHECK(pai_db_prepare(db, text, strlen(text), &many[i], &err) == 0);
  }
  for (int i = 0; i < 200; i++) {
    CHECK(pai_db_step(db, many[i], &err) == 1 && sqlite3_column_int(many[i], 0) == i);
    pai_db_release(db, many[i]);
  }
  pai_db_release(db, b);
  pai_db_release(db, c);
  CHECK(pai_db_prepare(db, "SELECT 1 x; y", 13, &a, &err) == PAI_E_ARG);
  CHECK(pai_db_error_name(db) == NULL);
  CHECK(pai_db_prepare(db, "SELEKT", 6, &a, &err) < 0);
  CHECK(strcmp(pai_db_error_name(db), "SQLITE_ERROR") == 0);
  pai_db_close(db);
  pai_db_close(NULL);
}

static void no_memory(void) {
  static const char text[] =
      "local d <close> = assert(m.open(':memory:'))\n"
      "assert(d:exec('CREATE TABLE t (a, b)'))\n"
      "for i = 1, 20 do assert(d:run('INSERT INTO t VALUES (?, ?)', i, 'text ' .. i)) end\n"
      "local n = d:transaction(function() d:run('DELETE FROM t WHERE a < ?', 5)\n"
      "  return #assert(d:rows('SELECT * FROM t WHERE b LIKE ?', 'text%')) end)\n"
      "d:run('SELEKT') pcall(d.transaction, d, error) m.open('/none/none')\n"
      "return n == 16 and assert(d:row('SELECT count(*) AS n FROM t')).n == 16";
  nomem_each(&(nomem_test){"pai.db", luaopen_pai_db, "", text}, 250, 128);
}

int main(void) {
  RUN(cache);
  RUN(no_memory);
  return finish();
}
