/* pai.scan: rules from tables, findings as tables. A value never becomes a Lua string: of a finding
 * Lua sees where it is, how long, up to four characters, and a fingerprint. */
#include "l_buf.h"
#include "l_util.h"
#include "loop.h"
#include "scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCANNER_MT "pai.scan.scanner"
#define KEYWORDS_MAX 4000
#define FINDINGS_MAX ((size_t)100000) // of one input; more are counted only
#define COPY_MAX ((size_t)1 << 30)    // bytes

static const char *const checks[] = {"none",  "jwt",    "ngc",   "basic", "pem",
                                     "crc32", "nested", "mixed", NULL};

static const char *const levels[] = {"nothing", "placeholders", "samples", "names", NULL};

typedef struct scanner {
  pai_scan *scan;
  char (*ids)[72];
} scanner;

static scanner *check_scanner(lua_State *L) {
  scanner *sc = luaL_checkudata(L, 1, SCANNER_MT);
  luaL_argcheck(L, sc->scan != NULL, 1, "a scanner that is closed");
  return sc;
}

static int scanner_gc(lua_State *L) {
  scanner *sc = luaL_checkudata(L, 1, SCANNER_MT);
  pai_scan_free(sc->scan);
  sc->scan = NULL;
  return 0;
}

/* ---- rules ---- */

// The list of strings in a field of the rule at the top, as an array that the stack keeps alive:
// the field's value and the array are left on it.
static const char **string_list(lua_State *L, const char *name, size_t *count) {
  int rule = lua_gettop(L);
  lua_getfield(L, rule, name);
  *count = 0;
  if (lua_isnil(L, -1)) {
    lua_pushnil(L);
    return NULL;
  }
  luaL_checktype(L, -1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, -1);
  if (n > KEYWORDS_MAX)
    luaL_error(L, "%s: more than %d", name, KEYWORDS_MAX);
  const char **list = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *list, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_error(L, "%s[%d] is not a string", name, (int)i + 1);
    list[i] = lua_tostring(L, -1); // the list keeps it
    lua_pop(L, 1);
  }
  *count = (size_t)n;
  return list;
}

static double opt_number(lua_State *L, int idx, const char *name) {
  lua_getfield(L, idx, name);
  if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "%s must be a number", name);
  double v = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return v;
}

static pai_scan_check opt_check(lua_State *L, int idx) {
  const char *name = pai_l_opt_string(L, idx, "check", "none");
  for (int i = 0; checks[i] != NULL; i++)
    if (strcmp(checks[i], name) == 0)
      return (pai_scan_check)i;
  return (pai_scan_check)luaL_error(L, "there is no check '%s'", name);
}

// Each level holds the one before.
static unsigned opt_allow(lua_State *L, int idx) {
  const char *name = pai_l_opt_string(L, idx, "allow", "placeholders");
  unsigned flags = 0;
  for (int i = 0; levels[i] != NULL; i++) {
    if (strcmp(levels[i], name) == 0)
      return flags;
    flags = flags << 1 | 1;
  }
  return (unsigned)luaL_error(L, "there is no allow-list '%s'", name);
}

static const char *need_string(lua_State *L, int idx, const char *name) {
  const char *s = pai_l_opt_string(L, idx, name, NULL);
  if (s == NULL)
    luaL_error(L, "a rule has no %s", name);
  return s;
}

// The rule is at the top; strings are borrowed from it.
static void read_rule(lua_State *L, pai_scan_rule *r) {
  int idx = lua_gettop(L);
  luaL_checktype(L, idx, LUA_TTABLE);
  *r = (pai_scan_rule){.id = need_string(L, idx, "id"), .pattern = need_string(L, idx, "pattern")};
  r->keywords = string_list(L, "keywords", &r->keyword_count);
  lua_pushvalue(L, idx);
  r->near = string_list(L, "near", &r->near_count);
  lua_Integer before = pai_l_opt_integer(L, idx, "before", 0);
  lua_Integer shown = pai_l_opt_integer(L, idx, "shown", 0);
  if (before < 0 || before > 4096 || shown < 0 || shown > PAI_SCAN_SHOWN_MAX)
    luaL_error(L, "rule %s: before or shown is out of range", r->id);
  r->before = (uint32_t)before;
  r->shown = (uint32_t)shown;
  r->exact = pai_l_opt_bool(L, idx, "exact", false);
  r->label = pai_l_opt_bool(L, idx, "label", false);
  r->runs = pai_l_opt_bool(L, idx, "runs", false);
  r->entropy = opt_number(L, idx, "entropy");
  r->entropy_short = opt_number(L, idx, "entropy_short");
  r->check = opt_check(L, idx);
  r->allow = opt_allow(L, idx);
}

static int l_compile(lua_State *L) {
  static const char *const options[] = {"salt", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  pai_l_check_options(L, 2, options);
  const char *salt = pai_l_opt_string(L, 2, "salt", "");
  if (strlen(salt) > 1024)
    return luaL_error(L, "option 'salt' is longer than 1024 bytes");
  lua_settop(L, 2);
  scanner *sc = lua_newuserdatauv(L, sizeof *sc, 1);
  *sc = (scanner){0};
  luaL_setmetatable(L, SCANNER_MT);
  lua_Unsigned n = lua_rawlen(L, 1);
  sc->ids = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *sc->ids, 0);
  lua_setiuservalue(L, 3, 1);
  pai_error err = {0};
  sc->scan = pai_scan_new(salt, strlen(salt));
  if (sc->scan == NULL) {
    pai_error_set(&err, PAI_E_NOMEM, "compile rules: out of memory");
    return pai_l_fail(L, &err);
  }
  for (lua_Unsigned i = 0; i < n; i++) {
    pai_scan_rule r;
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    read_rule(L, &r);
    int rc = pai_scan_add(sc->scan, &r, &err);
    if (rc == PAI_E_ARG || rc == PAI_E_LIMIT)
      return luaL_error(L, "%s", err.message);
    if (rc < 0)
      return pai_l_fail(L, &err);
    snprintf(sc->ids[i], sizeof sc->ids[i], "%s", r.id);
    lua_settop(L, 3);
  }
  return 1;
}

/* ---- scanning ---- */

typedef struct collector {
  pai_buf *found;
  pai_buf *copy;
  const uint64_t *allowed; // sorted
  size_t allowed_count;
  bool incomplete;
} collector;

static int compare_u64(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static pai_scan_answer on_found(void *ud, const pai_scan_finding *f) {
  collector *c = ud;
  if (c->allowed_count > 0 && bsearch(&f->fingerprint, c->allowed, c->allowed_count,
                                      sizeof f->fingerprint, compare_u64) != NULL)
    return PAI_SCAN_ALLOW;
  if (pai_buf_add(c->found, f, sizeof *f) < 0)
    c->incomplete = true;
  return PAI_SCAN_KEEP;
}

static int on_write(void *ud, const void *data, size_t len, pai_error *err) {
  collector *c = ud;
  int rc = pai_buf_add(c->copy, data, len);
  return rc < 0 ? pai_error_set(err, rc, "redact: the text is too large") : 0;
}

// The list of fingerprints in opts.allow; the array is left on the stack.
static void read_allowed(lua_State *L, int idx, collector *c) {
  if (lua_isnoneornil(L, idx) || lua_getfield(L, idx, "allow") == LUA_TNIL) {
    lua_pushnil(L);
    return;
  }
  luaL_checktype(L, -1, LUA_TTABLE);
  size_t n = (size_t)lua_rawlen(L, -1);
  uint64_t *list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (lua_Integer)i + 1);
    size_t len;
    const char *hex = lua_tolstring(L, -1, &len);
    if (hex == NULL || len != 16 || strspn(hex, "0123456789abcdef") != 16)
      luaL_error(L, "allow[%d] is not a fingerprint of 16 hex digits", (int)i + 1);
    list[i] = strtoull(hex, NULL, 16);
    lua_pop(L, 1);
  }
  qsort(list, n, sizeof *list, compare_u64);
  c->allowed = list;
  c->allowed_count = n;
}

static void set_integer(lua_State *L, const char *name, uint64_t v) {
  lua_pushinteger(L, (lua_Integer)v);
  lua_setfield(L, -2, name);
}

static void push_finding(lua_State *L, const scanner *sc, const pai_scan_finding *f) {
  char hex[17];
  lua_createtable(L, 0, 12);
  lua_pushstring(L, sc->ids[f->rule]);
  lua_setfield(L, -2, "rule");
  lua_pushboolean(L, f->low);
  lua_setfield(L, -2, "low");
  set_integer(L, "line", f->from.line);
  set_integer(L, "column", f->from.column);
  set_integer(L, "end_line", f->to.line);
  set_integer(L, "end_column", f->to.column);
  set_integer(L, "offset", f->offset);
  set_integer(L, "end_offset", f->end);
  set_integer(L, "length", f->length);
  snprintf(hex, sizeof hex, "%016" PRIx64, f->fingerprint);
  lua_pushstring(L, hex);
  lua_setfield(L, -2, "fingerprint");
  lua_pushstring(L, f->shown);
  lua_setfield(L, -2, "shown");
}

static int push_result(lua_State *L, const scanner *sc, const collector *c,
                       const pai_scan_sum *sum) {
  size_t n = c->found->len / sizeof(pai_scan_finding);
  lua_createtable(L, 0, 7);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    pai_scan_finding f;
    memcpy(&f, c->found->data + i * sizeof f, sizeof f);
    push_finding(L, sc, &f);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "findings");
  set_integer(L, "count", sum->findings);
  set_integer(L, "allowed", sum->allowed);
  set_integer(L, "bytes", sum->bytes);
  set_integer(L, "limited", sum->limited);
  lua_pushboolean(L, sum->is_binary);
  lua_setfield(L, -2, "binary");
  lua_pushboolean(L, c->incomplete);
  lua_setfield(L, -2, "incomplete");
  return 1;
}

static void read_job(lua_State *L, collector *c, pai_scan_job *job) {
  c->found = pai_l_new_buf(L, FINDINGS_MAX * sizeof(pai_scan_finding));
  *job = (pai_scan_job){.found = on_found,
                        .ud = c,
                        .write_ud = c,
                        .binary = pai_l_opt_bool(L, 3, "binary", false),
                        .comments = pai_l_opt_bool(L, 3, "comments", true)};
  read_allowed(L, 3, c);
}

static int l_file(lua_State *L) {
  static const char *const options[] = {"binary", "comments", "allow", "output", NULL};
  scanner *sc = check_scanner(L);
  const char *path = luaL_checkstring(L, 2);
  pai_l_check_options(L, 3, options);
  const char *output = pai_l_opt_string(L, 3, "output", NULL);
  lua_settop(L, 3);
  collector c = {0};
  pai_scan_job job;
  pai_scan_sum sum;
  pai_error err = {0};
  read_job(L, &c, &job);
  pai_loop_state.waiting = 1; // large files take their time, which no watchdog should end
  int rc = pai_scan_file(sc->scan, path, output, &job, &sum, &err);
  pai_loop_state.waiting = 0;
  return rc < 0 ? pai_l_fail(L, &err) : push_result(L, sc, &c, &sum);
}

static int l_text(lua_State *L) {
  static const char *const options[] = {"binary", "comments", "allow", "redact", NULL};
  scanner *sc = check_scanner(L);
  size_t len;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *text = lua_tolstring(L, 2, &len);
  pai_l_check_options(L, 3, options);
  bool redact = pai_l_opt_bool(L, 3, "redact", false);
  lua_settop(L, 3);
  collector c = {0};
  pai_scan_job job;
  pai_scan_sum sum;
  pai_error err = {0};
  read_job(L, &c, &job);
  if (redact) {
    c.copy = pai_l_new_buf(L, COPY_MAX);
    job.write = on_write;
  }
  if (pai_scan_text(sc->scan, text, len, &job, &sum, &err) < 0)
    return pai_l_fail(L, &err);
  push_result(L, sc, &c, &sum);
  if (redact && (!sum.is_binary || job.binary)) {
    pai_l_push_buf(L, c.copy);
    lua_setfield(L, -2, "redacted");
  }
  return 1;
}

static const luaL_Reg methods[] = {{"file", l_file}, {"text", l_text}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"compile", l_compile}, {NULL, NULL}};

int luaopen_pai_scan(lua_State *L);
int luaopen_pai_scan(lua_State *L) {
  if (luaL_newmetatable(L, SCANNER_MT)) {
    lua_pushcfunction(L, scanner_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
