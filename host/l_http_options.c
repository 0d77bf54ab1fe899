/* The options of a request. See l_http_options.h. */
#include "l_http_options.h"

#include "l_http_tls.h"
#include "l_util.h"
#include "secret.h"

#include <ctype.h>
#include <string.h>

enum { BODY_MAX = 64 << 20 };

// The first of them are looked for first.
enum option {
  URL,
  TIMEOUT,
  METHOD,
  HEADERS,
  QUERY,
  BODY,
  JSON,
  OUTPUT,
  CONNECT_TIMEOUT,
  UNIX_SOCKET,
  ACCEPT,
  MAX_BODY,
  ON_DATA,
  FOLLOW,
  RETRIES,
  RETRY_WAIT,
  RETRY_ANY,
  BEARER,
  BASIC,
  CA_FILE,
  PROXY,
  STAY,
  BODY_FILE,
  INTO,
  SECRET_QUERY,
  STALL_TIMEOUT,
  SECRET,
  FORM,
  TLS,
  CONNECT_TO,
};

static const char *const options[] = {[URL] = "url",
                                      [TIMEOUT] = "timeout",
                                      [METHOD] = "method",
                                      [HEADERS] = "headers",
                                      [QUERY] = "query",
                                      [BODY] = "body",
                                      [JSON] = "json",
                                      [OUTPUT] = "output",
                                      [CONNECT_TIMEOUT] = "connect_timeout",
                                      [UNIX_SOCKET] = "unix_socket",
                                      [ACCEPT] = "accept",
                                      [MAX_BODY] = "max_body",
                                      [ON_DATA] = "on_data",
                                      [FOLLOW] = "follow",
                                      [RETRIES] = "retries",
                                      [RETRY_WAIT] = "retry_wait",
                                      [RETRY_ANY] = "retry_any",
                                      [BEARER] = "bearer",
                                      [BASIC] = "basic",
                                      [CA_FILE] = "ca_file",
                                      [PROXY] = "proxy",
                                      [STAY] = "stay",
                                      [BODY_FILE] = "body_file",
                                      [INTO] = "into",
                                      [SECRET_QUERY] = "secret_query",
                                      [STALL_TIMEOUT] = "stall_timeout",
                                      [SECRET] = "secret",
                                      [FORM] = "form",
                                      [TLS] = "tls",
                                      [CONNECT_TO] = "connect_to",
                                      NULL};

typedef uint64_t given; // 1 << option for each that the caller's table has

static bool has(given g, enum option option) {
  return (g >> option & 1) != 0;
}

void pai_l_http_keep(lua_State *L) {
  lua_rawseti(L, PAI_L_HTTP_KEEP, (lua_Integer)lua_rawlen(L, PAI_L_HTTP_KEEP) + 1);
}

pai_l_http_value pai_l_http_take(lua_State *L, const char *what) {
  pai_l_http_value v = {0};
  const pai_secret *secret = pai_secret_test(L, -1);
  if (secret != NULL) {
    v.data = pai_secret_data(secret, &v.len);
    v.secret = true;
  } else if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER) {
    v.data = lua_tolstring(L, -1, &v.len);
  } else {
    luaL_error(L, "%s must be a string or a secret, not a %s", what, luaL_typename(L, -1));
  }
  pai_l_http_keep(L);
  return v;
}

// Field of the options or NULL; borrowed while the request lives.
static const char *keep_string(lua_State *L, const char *name) {
  const char *s = pai_l_opt_string(L, PAI_L_HTTP_ARG, name, NULL);
  if (s != NULL) {
    lua_getfield(L, PAI_L_HTTP_ARG, name);
    pai_l_http_keep(L);
  }
  return s;
}

static void take_accept(lua_State *L, pai_http_options *o) {
  int type = lua_getfield(L, PAI_L_HTTP_ARG, "accept");
  if (type == LUA_TSTRING && strcmp(lua_tostring(L, -1), "any") == 0) {
    o->accept_any = true;
  } else if (type == LUA_TTABLE) {
    size_t n = (size_t)lua_rawlen(L, -1);
    int *codes = lua_newuserdatauv(L, (n + 1) * sizeof *codes, 0);
    for (size_t i = 0; i < n; i++) {
      lua_rawgeti(L, -2, (lua_Integer)i + 1);
      codes[i] = (int)luaL_checkinteger(L, -1);
      lua_pop(L, 1);
    }
    o->accept = codes;
    o->accept_count = n;
    pai_l_http_keep(L);
  } else if (type != LUA_TNIL) {
    luaL_error(L, "option 'accept' must be a list of statuses or \"any\"");
  }
  lua_settop(L, PAI_L_HTTP_KEEP);
}

static const char *take_method(lua_State *L, given g, const pai_http_options *o) {
  const char *method = has(g, METHOD) ? keep_string(L, "method") : NULL;
  if (method == NULL)
    return o->body_file != NULL ? "PUT" : o->body != NULL ? "POST" : "GET";
  for (const char *c = method; *c != '\0'; c++)
    if (!isupper((unsigned char)*c))
      luaL_error(L, "option 'method' must be in capitals, such as \"GET\"");
  if (*method == '\0' || strcmp(method, "CONNECT") == 0)
    luaL_error(L, "option 'method' cannot be \"%s\"", method);
  return method;
}

static int opt_count(lua_State *L, const char *name, lua_Integer def, lua_Integer most) {
  lua_Integer n = pai_l_opt_integer(L, PAI_L_HTTP_ARG, name, def);
  if (n < 0 || n > most)
    luaL_error(L, "option '%s' must be between 0 and %d", name, (int)most);
  return (int)n;
}

// Field of the table on top: a byte count.
static uint64_t file_number(lua_State *L, const char *option, const char *name) {
  int is = 0;
  lua_getfield(L, -1, name);
  lua_Integer n = lua_isnil(L, -1) ? 0 : lua_tointegerx(L, -1, &is);
  if ((!is && !lua_isnil(L, -1)) || n < 0)
    luaL_error(L, "option '%s': %s must be a number of bytes", option, name);
  lua_pop(L, 1);
  return (uint64_t)n;
}

// {path =, offset =, length =} of a part of a file; NULL when the option is not given.
static const char *take_file(lua_State *L, const char *option, uint64_t *offset, uint64_t *len) {
  static const char *const fields[] = {"path", "offset", "length", NULL};
  if (lua_getfield(L, PAI_L_HTTP_ARG, option) == LUA_TNIL) {
    lua_pop(L, 1);
    return NULL;
  }
  luaL_argexpected(L, lua_istable(L, -1), PAI_L_HTTP_ARG, "table");
  pai_l_check_options(L, lua_gettop(L), fields);
  const char *path = pai_l_opt_string(L, lua_gettop(L), "path", NULL);
  if (path == NULL)
    luaL_error(L, "option '%s' has no path", option);
  *offset = file_number(L, option, "offset");
  *len = file_number(L, option, "length");
  lua_getfield(L, -1, "path");
  pai_l_http_keep(L);
  lua_pop(L, 1);
  return path;
}

static void take_body_file(lua_State *L, pai_http_options *o) {
  uint64_t len = 0;
  const char *from = take_file(L, "body_file", &o->body_offset, &len);
  if (from != NULL && o->body != NULL)
    luaL_error(L, "options 'body_file' and another body exclude each other");
  o->body_file = from;
  if (from != NULL)
    o->body_len = (size_t)len;
}

static void take_secret_query(lua_State *L, pai_http_options *o) {
  if (lua_getfield(L, PAI_L_HTTP_ARG, "secret_query") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  const pai_secret *query = pai_secret_test(L, -1);
  if (query == NULL)
    luaL_error(L, "option 'secret_query' must be a secret");
  size_t query_len;
  o->secret_query = pai_secret_data(query, &query_len);
  for (size_t i = 0; i < query_len; i++)
    if (!isgraph((unsigned char)o->secret_query[i]) || o->secret_query[i] == '#')
      luaL_error(L, "option 'secret_query': it holds what no query may hold");
  pai_l_http_keep(L);
}

static void take_fields(lua_State *L, given g, pai_http_options *o) {
  pai_l_http_headers list = {0};
  if (has(g, HEADERS) || has(g, BEARER) || has(g, JSON) || has(g, FORM))
    pai_l_http_take_headers(L, &list);
  if (has(g, BEARER))
    pai_l_http_take_bearer(L, &list);
  if (has(g, BASIC))
    pai_l_http_take_basic(L, o, &list);
  if (has(g, BODY) || has(g, JSON) || has(g, FORM))
    pai_l_http_take_body(L, o, &list);
  o->headers = list.items;
  o->header_count = list.count;
}

// Durations, counts and switches, from what is usual.
static void take_numbers(lua_State *L, given g, pai_http_options *o) {
  enum { ARG = PAI_L_HTTP_ARG };
  if (has(g, TIMEOUT))
    o->timeout_ms = pai_l_opt_duration(L, ARG, "timeout", o->timeout_ms);
  if (has(g, CONNECT_TIMEOUT))
    o->connect_timeout_ms = pai_l_opt_duration(L, ARG, "connect_timeout", o->connect_timeout_ms);
  if (has(g, RETRY_WAIT))
    o->retry_wait_ms = pai_l_opt_duration(L, ARG, "retry_wait", o->retry_wait_ms);
  if (has(g, STALL_TIMEOUT))
    o->stall_ms = pai_l_opt_duration(L, ARG, "stall_timeout", 0);
  if (has(g, RETRIES))
    o->retries = opt_count(L, "retries", 0, 1000);
  if (has(g, FOLLOW))
    o->follow = opt_count(L, "follow", 0, 50);
  if (has(g, MAX_BODY))
    o->max_body = (size_t)opt_count(L, "max_body", BODY_MAX, 0x7fffffff);
  o->stay = has(g, STAY) && pai_l_opt_bool(L, ARG, "stay", false);
  o->retry_any = has(g, RETRY_ANY) && pai_l_opt_bool(L, ARG, "retry_any", false);
  o->body_wiped = has(g, SECRET) && pai_l_opt_bool(L, ARG, "secret", false);
  if (o->body_wiped && o->max_body > PAI_SECRET_MAX)
    o->max_body = PAI_SECRET_MAX;
}

// What becomes of the answer.
static void take_places(lua_State *L, given g, pai_http_options *o) {
  if (has(g, ACCEPT))
    take_accept(L, o);
  if (has(g, OUTPUT))
    o->output = keep_string(L, "output");
  if (has(g, INTO))
    o->into = take_file(L, "into", &o->into_offset, &o->into_len);
  if (has(g, ON_DATA)) {
    int type = lua_getfield(L, PAI_L_HTTP_ARG, "on_data");
    if (type != LUA_TNIL && type != LUA_TFUNCTION)
      luaL_error(L, "option 'on_data' must be a function");
    o->stream = type == LUA_TFUNCTION;
    lua_pop(L, 1);
  }
  if (o->stream && o->output != NULL)
    luaL_error(L, "options 'on_data' and 'output' exclude each other");
  if (o->into != NULL && (o->stream || o->output != NULL))
    luaL_error(L, "option 'into' and another place for the body exclude each other");
}

// Where the request goes.
static void take_target(lua_State *L, given g, pai_http_options *o) {
  o->url = has(g, URL) ? keep_string(L, "url") : NULL;
  if (o->url == NULL)
    luaL_error(L, "option 'url' is missing");
  if (has(g, QUERY))
    o->url = pai_l_http_take_query(L, o->url);
  if (has(g, SECRET_QUERY))
    take_secret_query(L, o);
  if (o->secret_query != NULL && o->follow > 0)
    luaL_error(L, "options 'secret_query' and 'follow' exclude each other");
  if (has(g, UNIX_SOCKET))
    o->unix_socket = keep_string(L, "unix_socket");
  if (has(g, PROXY))
    o->proxy = keep_string(L, "proxy");
  if (has(g, TLS) || has(g, CA_FILE) || has(g, CONNECT_TO))
    pai_l_http_tls(L, PAI_L_HTTP_ARG, PAI_L_HTTP_KEEP, &o->tls);
}

void pai_l_http_options(lua_State *L, pai_http_options *o) {
  given g = pai_l_given_options(L, PAI_L_HTTP_ARG, options);
  *o = (pai_http_options){
      .timeout_ms = 30000, .connect_timeout_ms = 5000, .retry_wait_ms = 500, .max_body = BODY_MAX};
  take_fields(L, g, o);
  if (has(g, BODY_FILE))
    take_body_file(L, o);
  take_numbers(L, g, o);
  take_target(L, g, o);
  take_places(L, g, o);
  o->method = take_method(L, g, o);
  lua_settop(L, PAI_L_HTTP_KEEP);
}
