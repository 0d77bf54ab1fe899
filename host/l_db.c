/* pai.db. Between preparing a statement and releasing it Lua may raise (memory), so the statement
 * in use is noted in a userdata whose __gc and __close release it. */
#include "db.h"
#include "json.h"
#include "l_util.h"
#include "loop.h"
#include "secret.h"
#include "task.h"

#include <string.h>

#define DB "pai.db"
#define USE "pai.db.use"

typedef struct connection {
  pai_db *db; // NULL: closed
  bool in_transaction;
  pai_task *owner; // the task of the open transaction, NULL = outside any
} connection;

typedef struct use { // its user value is the connection
  connection *c;
  sqlite3_stmt *stmt;
} use;

static void use_end(use *u) {
  if (u->stmt != NULL && u->c->db != NULL)
    pai_db_release(u->c->db, u->stmt);
  else if (u->stmt != NULL)
    sqlite3_finalize(u->stmt);
  u->stmt = NULL;
}

static int use_gc(lua_State *L) {
  use_end(luaL_checkudata(L, 1, USE));
  return 0;
}

static connection *check_db(lua_State *L) {
  connection *c = luaL_checkudata(L, 1, DB);
  if (c->db == NULL)
    luaL_error(L, "the database is closed");
  if (c->in_transaction && c->owner != pai_task_current())
    luaL_error(L, "the database is in a transaction of another task: its function must not wait");
  return c;
}

static void push_error(lua_State *L, const pai_db *db, const pai_error *err) {
  pai_l_push_error(L, err);
  const char *name = db != NULL ? pai_db_error_name(db) : NULL;
  if (name == NULL)
    return;
  lua_pushstring(L, name);
  lua_setfield(L, -2, "code");
  lua_pushboolean(L, pai_db_error_retryable(db));
  lua_setfield(L, -2, "retryable");
}

static int fail(lua_State *L, const pai_db *db, const pai_error *err) {
  lua_pushnil(L);
  push_error(L, db, err);
  return 2;
}

static int l_open(lua_State *L) {
  static const char *const options[] = {"readonly", "sync", NULL};
  const char *path = luaL_checkstring(L, 1);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  pai_db_options o = {.readonly = pai_l_opt_bool(L, 2, "readonly", false)};
  const char *sync = pai_l_opt_string(L, 2, "sync", "normal");
  if (strcmp(sync, "normal") != 0 && strcmp(sync, "full") != 0)
    return luaL_error(L, "option 'sync' must be \"normal\" or \"full\"");
  o.full_sync = strcmp(sync, "full") == 0;
  connection *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (connection){0};
  luaL_setmetatable(L, DB);
  pai_error err;
  if (pai_db_open(path, &o, &c->db, &err) == 0)
    return 1;
  fail(L, c->db, &err);
  pai_db_close(c->db);
  c->db = NULL;
  return 2;
}

static int db_gc(lua_State *L) {
  connection *c = luaL_checkudata(L, 1, DB);
  pai_db_close(c->db);
  c->db = NULL;
  return 0;
}

static int l_close(lua_State *L) {
  connection *c = luaL_checkudata(L, 1, DB);
  if (c->in_transaction)
    return luaL_error(L, "cannot close the database inside a transaction");
  return db_gc(L);
}

static int l_exec(lua_State *L) {
  connection *c = check_db(L);
  size_t len;
  const char *sql = luaL_checklstring(L, 2, &len);
  luaL_argcheck(L, strlen(sql) == len, 2, "SQL must not contain a zero byte");
  pai_error err;
  if (pai_db_exec(c->db, sql, &err) < 0)
    return fail(L, c->db, &err);
  lua_pushboolean(L, true);
  return 1;
}

static int bind_string(lua_State *L, sqlite3_stmt *stmt, int n, int idx, bool blob) {
  size_t len;
  const char *s = lua_tolstring(L, idx, &len);
  if (blob)
    return sqlite3_bind_blob64(stmt, n, s, len, SQLITE_TRANSIENT);
  return sqlite3_bind_text64(stmt, n, s, len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int bind_table(lua_State *L, sqlite3_stmt *stmt, int n, int idx) {
  if (lua_getfield(L, idx, "blob") != LUA_TSTRING)
    luaL_argerror(L, idx, "a table must be {blob = string}");
  int rc = bind_string(L, stmt, n, -1, true);
  lua_pop(L, 1);
  return rc;
}

// Parameter n takes the argument at idx.
static int bind_one(lua_State *L, sqlite3_stmt *stmt, int n, int idx) {
  switch (lua_type(L, idx)) {
  case LUA_TNIL:
    return sqlite3_bind_null(stmt, n);
  case LUA_TBOOLEAN:
    return sqlite3_bind_int64(stmt, n, lua_toboolean(L, idx));
  case LUA_TNUMBER:
    if (lua_isinteger(L, idx))
      return sqlite3_bind_int64(stmt, n, lua_tointeger(L, idx));
    return sqlite3_bind_double(stmt, n, lua_tonumber(L, idx));
  case LUA_TSTRING:
    return bind_string(L, stmt, n, idx, false);
  case LUA_TTABLE:
    return bind_table(L, stmt, n, idx);
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, idx) == (const void *)&pai_json_null)
      return sqlite3_bind_null(stmt, n);
    break;
  default:
    break;
  }
  if (pai_secret_test(L, idx) != NULL)
    luaL_argerror(L, idx, "a secret cannot be stored in a database");
  luaL_typeerror(L, idx, "nil, boolean, number, string or {blob = string}");
  return SQLITE_MISUSE;
}

// Prepares the SQL at 2, binds the arguments after it and notes the statement in a use on top of
// the stack. Negative: err is filled.
static int begin(lua_State *L, connection *c, use **out, pai_error *err) {
  size_t len;
  const char *sql = luaL_checklstring(L, 2, &len);
  int given = lua_gettop(L) - 2;
  use *u = lua_newuserdatauv(L, sizeof *u, 1);
  *u = (use){.c = c};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, USE);
  *out = u;
  int rc = pai_db_prepare(c->db, sql, len, &u->stmt, err);
  if (rc == PAI_E_ARG)
    luaL_argerror(L, 2, err->message);
  if (rc < 0)
    return rc;
  int wanted = sqlite3_bind_parameter_count(u->stmt);
  if (given != wanted) {
    use_end(u);
    luaL_error(L, "the SQL statement has %d parameters, %d were given", wanted, given);
  }
  lua_toclose(L, -1);
  for (int i = 1; i <= wanted; i++)
    if (bind_one(L, u->stmt, i, i + 2) != SQLITE_OK)
      return pai_error_set(err, PAI_E_LIMIT, "parameter %d is too large", i);
  return 0;
}

static int l_run(lua_State *L) {
  connection *c = check_db(L);
  pai_error err;
  use *u;
  int rc = begin(L, c, &u, &err);
  if (rc < 0)
    return fail(L, c->db, &err);
  sqlite3 *handle = pai_db_handle(c->db);
  int before = sqlite3_total_changes(handle);
  do
    rc = pai_db_step(c->db, u->stmt, &err);
  while (rc == 1);
  if (rc < 0)
    return fail(L, c->db, &err);
  bool changed = sqlite3_total_changes(handle) != before;
  use_end(u);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, changed ? sqlite3_changes(handle) : 0);
  lua_setfield(L, -2, "changes");
  lua_pushinteger(L, sqlite3_last_insert_rowid(handle));
  lua_setfield(L, -2, "last_id");
  return 1;
}

static void push_column(lua_State *L, sqlite3_stmt *stmt, int i) {
  switch (sqlite3_column_type(stmt, i)) {
  case SQLITE_INTEGER:
    lua_pushinteger(L, sqlite3_column_int64(stmt, i));
    return;
  case SQLITE_FLOAT:
    lua_pushnumber(L, sqlite3_column_double(stmt, i));
    return;
  case SQLITE_TEXT:
  case SQLITE_BLOB: {
    const char *data = sqlite3_column_blob(stmt, i); // an empty one is NULL
    lua_pushlstring(L, data != NULL ? data : "", (size_t)sqlite3_column_bytes(stmt, i));
    return;
  }
  default:
    lua_pushnil(L);
  }
}

// Pushes the names of the columns once, so that rows share them; returns how many.
static int push_names(lua_State *L, sqlite3_stmt *stmt) {
  int columns = sqlite3_column_count(stmt);
  luaL_checkstack(L, columns + 6, "too many columns");
  for (int i = 0; i < columns; i++)
    lua_pushstring(L, sqlite3_column_name(stmt, i));
  return columns;
}

static void push_row(lua_State *L, sqlite3_stmt *stmt, int names, int columns) {
  lua_createtable(L, 0, columns);
  for (int i = 0; i < columns; i++) {
    lua_pushvalue(L, names + i);
    push_column(L, stmt, i);
    lua_rawset(L, -3);
  }
}

static int query(lua_State *L, bool one) {
  connection *c = check_db(L);
  pai_error err;
  use *u;
  int rc = begin(L, c, &u, &err);
  if (rc < 0)
    return fail(L, c->db, &err);
  rc = pai_db_step(c->db, u->stmt, &err); // also prepares anew when the schema has changed
  int names = lua_gettop(L) + 1;
  int columns = rc == 1 ? push_names(L, u->stmt) : 0;
  if (!one) {
    lua_newtable(L);
    pai_json_push_array_mt(L);
    lua_setmetatable(L, -2);
  }
  for (lua_Integer n = 1; rc == 1; n++) {
    push_row(L, u->stmt, names, columns);
    if (one)
      break;
    lua_rawseti(L, -2, n);
    rc = pai_db_step(c->db, u->stmt, &err);
  }
  if (rc < 0)
    return fail(L, c->db, &err);
  use_end(u);
  if (one && rc == 0)
    lua_pushnil(L);
  return 1;
}

static int l_rows(lua_State *L) {
  return query(L, false);
}

static int l_row(lua_State *L) {
  return query(L, true);
}

static int raise_error(lua_State *L, connection *c, const pai_error *err) {
  push_error(L, c->db, err);
  return lua_error(L);
}

// Without yielding, in one go: a plain pcall makes every wait inside block, and the count of the
// loop's turns tells that there was one. Another task could not tell our half-done work from its
// own, nor get at the database.
static int l_transaction(lua_State *L) {
  connection *c = check_db(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (c->in_transaction)
    return luaL_error(L, "the database is in a transaction already");
  pai_error err;
  if (pai_db_exec(c->db, "BEGIN IMMEDIATE", &err) < 0)
    return raise_error(L, c, &err);
  c->in_transaction = true;
  c->owner = pai_task_current();
  sig_atomic_t turns = pai_loop_state.turns;
  lua_pushvalue(L, 1);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  c->in_transaction = false;
  bool waited = pai_loop_state.turns != turns;
  if (status == LUA_OK && !waited && pai_db_exec(c->db, "COMMIT", &err) == 0)
    return lua_gettop(L) - 1;
  pai_error ignored;
  if (!sqlite3_get_autocommit(pai_db_handle(c->db)))
    (void)pai_db_exec(c->db, "ROLLBACK", &ignored);
  if (status != LUA_OK)
    return lua_error(L);
  if (waited)
    return luaL_error(L, "the function of a transaction must not wait; nothing was changed");
  return raise_error(L, c, &err);
}

static const luaL_Reg methods[] = {
    {"exec", l_exec},
    {"run", l_run},
    {"rows", l_rows},
    {"row", l_row},
    {"transaction", l_transaction},
    {"close", l_close},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"open", l_open},
    {NULL, NULL},
};

int luaopen_pai_db(lua_State *L);

int luaopen_pai_db(lua_State *L) {
  luaL_newmetatable(L, USE);
  lua_pushcfunction(L, use_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, use_gc);
  lua_setfield(L, -2, "__close");
  luaL_newmetatable(L, DB);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, db_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, db_gc);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, functions);
  return 1;
}
