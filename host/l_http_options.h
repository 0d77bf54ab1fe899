/* The options of a request, from the table at ARG to a pai_http_options. Strings and secrets that
 * the request borrows are kept in a list of their own, so that a caller who changes his table while
 * the request runs changes nothing of it. */
#ifndef PAI_L_HTTP_OPTIONS_H
#define PAI_L_HTTP_OPTIONS_H

#include "http.h"
#include "task.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { // stack slots of a request
  PAI_L_HTTP_ARG = 1,
  PAI_L_HTTP_SELF = 2,
  PAI_L_HTTP_KEEP = 3 // list of what the request borrows
};

PAI_LJMP void pai_l_http_options(lua_State *L, pai_http_options *o);

/* What the files of the options share. */

typedef struct pai_l_http_value {
  const char *data;
  size_t len;
  bool secret;
} pai_l_http_value;

typedef struct pai_l_http_headers {
  pai_http_header *items;
  size_t count;
  size_t room;
} pai_l_http_headers;

// Keeps the value on top of the stack alive as long as the request; pops it.
PAI_LJMP void pai_l_http_keep(lua_State *L);
// Takes the value on top (kept and popped): a string, a number, or a secret.
PAI_LJMP pai_l_http_value pai_l_http_take(lua_State *L, const char *what);

/* l_http_fields.c */

PAI_LJMP void pai_l_http_take_headers(lua_State *L, pai_l_http_headers *list);
PAI_LJMP void pai_l_http_take_bearer(lua_State *L, pai_l_http_headers *list);
PAI_LJMP void pai_l_http_take_basic(lua_State *L, pai_http_options *o,
                                    const pai_l_http_headers *list);
PAI_LJMP void pai_l_http_take_body(lua_State *L, pai_http_options *o, pai_l_http_headers *list);

/* l_http_query.c */

// url with the pairs of option `query`, a table, behind it; kept.
PAI_LJMP const char *pai_l_http_take_query(lua_State *L, const char *url);

#endif
