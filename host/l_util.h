/* What every binding shares: error objects, option tables, durations. */
#ifndef PAI_L_UTIL_H
#define PAI_L_UTIL_H

#include "error.h"
#include "task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

// Pushes the table { code, message, retryable } with pai's error metatable. The caller may add
// fields to it before it returns.
PAI_LJMP void pai_l_push_error(lua_State *L, const pai_error *err);
// Pushes nil and the error table; returns 2.
PAI_LJMP int pai_l_fail(lua_State *L, const pai_error *err);
// Raises the error table (for internal faults and refused rules).
PAI_LJMP int pai_l_raise(lua_State *L, const pai_error *err);

// Raises unless index idx is a table or none/nil whose string keys are all in names
// (NULL-terminated). "unknown option 'x' (known: a, b)".
PAI_LJMP void pai_l_check_options(lua_State *L, int idx, const char *const *names);
// The same; returns 1 << i for each names[i], of 64 at most, that the table itself has.
PAI_LJMP uint64_t pai_l_given_options(lua_State *L, int idx, const char *const *names);
// Field `name` of the table at idx (none/nil table = default). Wrong types raise with the name.
PAI_LJMP lua_Integer pai_l_opt_integer(lua_State *L, int idx, const char *name, lua_Integer def);
PAI_LJMP bool pai_l_opt_bool(lua_State *L, int idx, const char *name, bool def);
// Borrowed while the table lives.
PAI_LJMP const char *pai_l_opt_string(lua_State *L, int idx, const char *name, const char *def);
// Durations: "250ms", "30s", "10m", "2h", "1d" or integer milliseconds; returns milliseconds.
PAI_LJMP int64_t pai_l_opt_duration(lua_State *L, int idx, const char *name, int64_t def_ms);
PAI_LJMP int64_t pai_l_check_duration(lua_State *L, int arg);
// Parses a duration; 0 or PAI_E_PARSE.
int pai_parse_duration(const char *text, size_t len, int64_t *out_ms);

#endif
