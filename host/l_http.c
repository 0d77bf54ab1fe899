/* pai.http: options in, answer (l_http_answer.c) out; http.c does the work. A request is a userdata
 * on its caller's stack, marked to be closed, so that however the caller ends (return, error,
 * cancellation) the transfer ends with it. Strings and secrets that the request borrows are kept in
 * its user value.
 */
#include "http.h"
#include "l_buf.h"
#include "l_http_answer.h"
#include "l_http_tls.h"
#include "l_json_call.h"
#include "l_util.h"
#include "secret.h"
#include "task.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUEST "pai.http.request"

enum {
  ARG = 1, // stack slots of l_request
  SELF = 2,
  KEEP = 3, // list of what the request borrows
  BODY_MAX = 64 << 20,
  HEADER_MAX = 1000,
  OWN_HEADERS = 2 // Authorization and Content-Type
};

typedef struct request {
  pai_http http;
  pai_op op; // the await that is under way
} request;

int luaopen_pai_http(lua_State *L);

static void on_wake(void *ud) {
  request *r = ud;
  pai_op_complete(&r->op);
}

static void on_cancel(pai_op *op) {
  request *r = (request *)((char *)op - offsetof(request, op));
  pai_http_cancel(&r->http);
}

static int request_gc(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  pai_http_end(&r->http);
  return 0;
}

/* Options. */

// Keeps the value on top of the stack alive as long as the request; pops it.
static void keep(lua_State *L) {
  lua_rawseti(L, KEEP, (lua_Integer)lua_rawlen(L, KEEP) + 1);
}

typedef struct value {
  const char *data;
  size_t len;
  bool secret;
} value;

// Takes the value on top (kept and popped): a string, a number, or a secret.
static value take_value(lua_State *L, const char *what) {
  value v = {0};
  const pai_secret *secret = pai_secret_test(L, -1);
  if (secret != NULL) {
    v.data = pai_secret_data(secret, &v.len);
    v.secret = true;
  } else if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER) {
    v.data = lua_tolstring(L, -1, &v.len);
  } else {
    luaL_error(L, "%s must be a string or a secret, not a %s", what, luaL_typename(L, -1));
  }
  keep(L);
  return v;
}

// Field of the options or NULL; borrowed while the request lives.
static const char *keep_string(lua_State *L, const char *name) {
  const char *s = pai_l_opt_string(L, ARG, name, NULL);
  if (s != NULL) {
    lua_getfield(L, ARG, name);
    keep(L);
  }
  return s;
}

static bool is_token(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)s[i]) && (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
      return false;
  return len > 0;
}

typedef struct header_list {
  pai_http_header *items;
  size_t count;
  size_t room;
} header_list;

static void add_header(lua_State *L, header_list *list, const char *name, value v) {
  if (!is_token(name, strlen(name)))
    luaL_error(L, "option 'headers': \"%s\" is no name of a header", name);
  for (size_t i = 0; i < v.len; i++)
    if (v.data[i] == '\r' || v.data[i] == '\n' || v.data[i] == '\0')
      luaL_error(L, "option 'headers': the value of \"%s\" has a line end or a zero byte", name);
  if (list->count >= list->room)
    luaL_error(L, "option 'headers' changed while it was read");
  list->items[list->count++] = (pai_http_header){name, "", v.data, v.len, v.secret};
}

// Makes room for the headers in the table on top (or nil) and for our own.
static void make_room(lua_State *L, header_list *list) {
  size_t n = OWN_HEADERS;
  if (lua_istable(L, -1)) {
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
      n += lua_istable(L, -1) ? (size_t)lua_rawlen(L, -1) : 1;
  }
  if (n > HEADER_MAX)
    luaL_error(L, "option 'headers': more than %d headers", HEADER_MAX);
  list->items = lua_newuserdatauv(L, n * sizeof *list->items, 0);
  list->room = n;
  keep(L);
}

static void take_headers(lua_State *L, header_list *list) {
  int type = lua_getfield(L, ARG, "headers");
  if (type != LUA_TTABLE && type != LUA_TNIL)
    luaL_error(L, "option 'headers' must be a table");
  int headers = lua_gettop(L);
  make_room(L, list);
  if (type == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, headers) != 0;) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "option 'headers' must be a table from name to value");
      const char *name = lua_tostring(L, -2);
      lua_pushvalue(L, -2);
      keep(L);
      if (!lua_istable(L, -1)) {
        add_header(L, list, name, take_value(L, "a header"));
        continue;
      }
      lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
      for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        add_header(L, list, name, take_value(L, "a header"));
      }
      lua_pop(L, 1);
    }
  }
  lua_settop(L, headers - 1);
}

static bool has_header(const header_list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (strcasecmp(list->items[i].name, name) == 0)
      return true;
  return false;
}

static void take_bearer(lua_State *L, header_list *list) {
  if (lua_getfield(L, ARG, "bearer") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (has_header(list, "authorization"))
    luaL_error(L, "options 'bearer' and an Authorization header exclude each other");
  value v = take_value(L, "option 'bearer'");
  add_header(L, list, "Authorization", v);
  list->items[list->count - 1].prefix = "Bearer ";
}

static void take_basic(lua_State *L, pai_http_options *o, const header_list *list) {
  int type = lua_getfield(L, ARG, "basic");
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (type != LUA_TTABLE)
    luaL_error(L, "option 'basic' must be {user, secret}");
  if (has_header(list, "authorization"))
    luaL_error(L, "option 'basic' and another authorization exclude each other");
  int basic = lua_gettop(L);
  lua_rawgeti(L, basic, 1);
  value user = take_value(L, "the user of option 'basic'");
  lua_rawgeti(L, basic, 2);
  value password = take_value(L, "the password of option 'basic'");
  if (strlen(user.data) != user.len || strlen(password.data) != password.len ||
      strchr(user.data, ':') != NULL)
    luaL_error(L, "option 'basic': a zero byte, or a colon in the user");
  o->user = user.data;
  o->password = password.data;
  lua_pop(L, 1);
}

// "name=value&..." of the table on top, whose values may be secrets.
static void take_form(lua_State *L, pai_http_options *o) {
  int form = lua_gettop(L);
  if (!lua_istable(L, form))
    luaL_error(L, "option 'form' must be a table from name to value");
  pai_buf *text = pai_l_new_buf(L, PAI_SECRET_MAX);
  if (pai_buf_reserve(text, PAI_SECRET_MAX) < 0) // so that a secret is in one place only
    luaL_error(L, "out of memory");
  bool fits = true;
  for (lua_pushnil(L); lua_next(L, form) != 0;) {
    size_t len;
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "option 'form' must be a table from name to value");
    const char *name = lua_tolstring(L, -2, &len);
    fits = fits && (text->len == 0 || pai_buf_add(text, "&", 1) == 0);
    fits = fits && pai_http_escape(text, name, len) == 0 && pai_buf_add(text, "=", 1) == 0;
    value v = take_value(L, "a value of option 'form'");
    fits = fits && pai_http_escape(text, v.data, v.len) == 0;
  }
  pai_error err;
  int rc = fits ? pai_secret_push_new(L, "a form", text->data, text->len, &err)
                : pai_error_set(&err, PAI_E_LIMIT, "option 'form' is too large");
  explicit_bzero(text->data, text->cap);
  if (rc < 0)
    pai_l_raise(L, &err);
  o->body = pai_secret_data(pai_secret_test(L, -1), &o->body_len);
  o->body_secret = true;
  keep(L);
  lua_settop(L, form - 1);
}

static void take_body(lua_State *L, pai_http_options *o, header_list *list) {
  if (lua_getfield(L, ARG, "form") != LUA_TNIL) {
    take_form(L, o);
    add_header(L, list, "Content-Type", (value){"application/x-www-form-urlencoded", 33, false});
  } else {
    lua_pop(L, 1);
  }
  bool json = lua_getfield(L, ARG, "json") != LUA_TNIL;
  bool body = lua_getfield(L, ARG, "body") != LUA_TNIL;
  if (json && body)
    luaL_error(L, "options 'json' and 'body' exclude each other");
  if (o->body != NULL && (json || body))
    luaL_error(L, "option 'form' and another body exclude each other");
  if (json) {
    pai_l_push_json_function(L, "encode");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 1);
    lua_replace(L, -2);
    if (!has_header(list, "content-type"))
      add_header(L, list, "Content-Type", (value){"application/json", 16, false});
  }
  if (json || body) {
    value v = take_value(L, "option 'body'");
    o->body = v.data;
    o->body_len = v.len;
    o->body_secret = v.secret;
    lua_pop(L, 1);
  } else {
    lua_pop(L, 2);
  }
}

static void escape_onto(lua_State *L, pai_buf *url, const char *text, size_t len) {
  if (pai_http_escape(url, text, len) < 0)
    luaL_error(L, "the URL is too long");
}

// name at index -2 and value on top: adds "name=value", pops the value.
static void add_parameter(lua_State *L, pai_buf *url, char *mark) {
  size_t len;
  if (pai_secret_test(L, -1) != NULL)
    luaL_error(L, "option 'query': a secret cannot be part of a URL; use a header");
  if (lua_type(L, -1) == LUA_TBOOLEAN) {
    lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
    lua_replace(L, -2);
  }
  if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "option 'query': a value must be a string, a number or a boolean");
  if (pai_buf_add(url, mark, 1) < 0)
    luaL_error(L, "the URL is too long");
  *mark = '&';
  const char *name = lua_tolstring(L, -2, &len);
  escape_onto(L, url, name, len);
  if (pai_buf_add(url, "=", 1) < 0)
    luaL_error(L, "the URL is too long");
  const char *text = lua_tolstring(L, -1, &len);
  escape_onto(L, url, text, len);
  lua_pop(L, 1);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The names of the table on top, sorted, as a userdata above it.
static const char **push_names(lua_State *L, size_t *count) {
  int table = lua_gettop(L);
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1), n++)
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "option 'query' must be a table from name to value");
  const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
    names[i++] = lua_tostring(L, -2);
  qsort(names, n, sizeof *names, compare_names);
  *count = n;
  return names;
}

static const char *take_url(lua_State *L) {
  const char *url = keep_string(L, "url");
  if (url == NULL)
    luaL_error(L, "option 'url' is missing");
  int type = lua_getfield(L, ARG, "query");
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return url;
  }
  if (type != LUA_TTABLE)
    luaL_error(L, "option 'query' must be a table");
  int query = lua_gettop(L);
  pai_buf *whole = pai_l_new_buf(L, 1 << 20);
  lua_insert(L, query); // the buffer below the table
  query++;
  char mark = strchr(url, '?') != NULL ? '&' : '?';
  if (pai_buf_add(whole, url, strcspn(url, "#")) < 0)
    luaL_error(L, "the URL is too long");
  size_t count;
  const char **names = push_names(L, &count);
  for (size_t i = 0; i < count; i++) {
    lua_pushstring(L, names[i]);
    if (lua_getfield(L, query, names[i]) != LUA_TTABLE) {
      add_parameter(L, whole, &mark);
    } else {
      int list = lua_gettop(L);
      lua_Integer n = (lua_Integer)lua_rawlen(L, list);
      for (lua_Integer k = 1; k <= n; k++) {
        lua_pushvalue(L, list - 1);
        lua_rawgeti(L, list, k);
        add_parameter(L, whole, &mark);
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_settop(L, query);
  pai_l_push_buf(L, whole);
  url = lua_tostring(L, -1);
  keep(L);
  lua_settop(L, query - 2);
  return url;
}

static void take_accept(lua_State *L, pai_http_options *o) {
  int type = lua_getfield(L, ARG, "accept");
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
    keep(L);
  } else if (type != LUA_TNIL) {
    luaL_error(L, "option 'accept' must be a list of statuses or \"any\"");
  }
  lua_settop(L, KEEP);
}

static const char *take_method(lua_State *L, const pai_http_options *o) {
  const char *method = keep_string(L, "method");
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
  lua_Integer n = pai_l_opt_integer(L, ARG, name, def);
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
  if (lua_getfield(L, ARG, option) == LUA_TNIL) {
    lua_pop(L, 1);
    return NULL;
  }
  luaL_argexpected(L, lua_istable(L, -1), ARG, "table");
  pai_l_check_options(L, lua_gettop(L), fields);
  const char *path = pai_l_opt_string(L, lua_gettop(L), "path", NULL);
  if (path == NULL)
    luaL_error(L, "option '%s' has no path", option);
  *offset = file_number(L, option, "offset");
  *len = file_number(L, option, "length");
  lua_getfield(L, -1, "path");
  keep(L);
  lua_pop(L, 1);
  return path;
}

static void take_files(lua_State *L, pai_http_options *o) {
  uint64_t len = 0;
  const char *from = take_file(L, "body_file", &o->body_offset, &len);
  if (from != NULL && o->body != NULL)
    luaL_error(L, "options 'body_file' and another body exclude each other");
  if (from != NULL) {
    o->body_file = from;
    o->body_len = (size_t)len;
  }
  o->into = take_file(L, "into", &o->into_offset, &o->into_len);
  if (lua_getfield(L, ARG, "secret_query") == LUA_TNIL) {
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
  keep(L);
}

static void take_options(lua_State *L, pai_http_options *o) {
  header_list list = {0};
  take_headers(L, &list);
  take_bearer(L, &list);
  take_basic(L, o, &list);
  take_body(L, o, &list);
  o->headers = list.items;
  o->header_count = list.count;
  o->url = take_url(L);
  take_files(L, o);
  o->method = take_method(L, o);
  take_accept(L, o);
  o->unix_socket = keep_string(L, "unix_socket");
  o->proxy = keep_string(L, "proxy");
  o->output = keep_string(L, "output");
  o->timeout_ms = pai_l_opt_duration(L, ARG, "timeout", 30000);
  o->connect_timeout_ms = pai_l_opt_duration(L, ARG, "connect_timeout", 5000);
  o->retry_wait_ms = pai_l_opt_duration(L, ARG, "retry_wait", 500);
  o->stall_ms = pai_l_opt_duration(L, ARG, "stall_timeout", 0);
  o->retries = opt_count(L, "retries", 0, 1000);
  o->follow = opt_count(L, "follow", 0, 50);
  o->stay = pai_l_opt_bool(L, ARG, "stay", false);
  o->retry_any = pai_l_opt_bool(L, ARG, "retry_any", false);
  o->max_body = (size_t)opt_count(L, "max_body", BODY_MAX, 0x7fffffff);
  pai_l_http_tls(L, ARG, KEEP, &o->tls);
  o->body_wiped = pai_l_opt_bool(L, ARG, "secret", false);
  if (o->body_wiped && o->max_body > PAI_SECRET_MAX)
    o->max_body = PAI_SECRET_MAX;
  int on_data = lua_getfield(L, ARG, "on_data");
  if (on_data != LUA_TNIL && on_data != LUA_TFUNCTION)
    luaL_error(L, "option 'on_data' must be a function");
  o->stream = on_data == LUA_TFUNCTION;
  if (o->stream && o->output != NULL)
    luaL_error(L, "options 'on_data' and 'output' exclude each other");
  if (o->into != NULL && (o->stream || o->output != NULL))
    luaL_error(L, "option 'into' and another place for the body exclude each other");
  if (o->secret_query != NULL && o->follow > 0)
    luaL_error(L, "options 'secret_query' and 'follow' exclude each other");
  lua_settop(L, KEEP);
}

/* Waiting. */

static int step(lua_State *L);

// on_data has returned: false means that the caller has enough.
static void data_taken(lua_State *L, request *r) {
  bool enough = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  lua_settop(L, KEEP);
  if (enough)
    pai_http_stop(&r->http);
  else
    pai_http_resume(&r->http);
}

static int data_taken_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  data_taken(L, lua_touserdata(L, SELF));
  return step(L);
}

static int woken_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return step(L);
}

static int step(lua_State *L) {
  request *r = lua_touserdata(L, SELF);
  pai_http *h = &r->http;
  for (;;) {
    pai_op_init(&r->op, on_cancel);
    if (h->o.stream && h->body.len > 0 && pai_http_accepted(h) && h->err.code == PAI_OK) {
      lua_getfield(L, ARG, "on_data");
      lua_pushlstring(L, h->body.data, h->body.len);
      pai_buf_clear(&h->body);
      lua_callk(L, 1, 1, 0, data_taken_k);
      data_taken(L, r);
    } else if (h->done) {
      return pai_l_http_push_answer(L, h);
    } else if (!pai_op_ready(L, &r->op)) {
      return pai_await(L, &r->op, 0, woken_k);
    }
  }
}

static int l_request(lua_State *L) {
  static const char *const options[] = {"url",
                                        "method",
                                        "headers",
                                        "query",
                                        "body",
                                        "json",
                                        "timeout",
                                        "output",
                                        "connect_timeout",
                                        "unix_socket",
                                        "accept",
                                        "max_body",
                                        "on_data",
                                        "follow",
                                        "retries",
                                        "retry_wait",
                                        "retry_any",
                                        "bearer",
                                        "basic",
                                        "ca_file",
                                        "proxy",
                                        "stay",
                                        "body_file",
                                        "into",
                                        "secret_query",
                                        "stall_timeout",
                                        "secret",
                                        "form",
                                        "tls",
                                        "connect_to",
                                        NULL};
  luaL_checktype(L, ARG, LUA_TTABLE);
  lua_settop(L, ARG);
  pai_l_check_options(L, ARG, options);
  request *r = lua_newuserdatauv(L, sizeof *r, 1);
  *r = (request){.http = {.wake = on_wake, .ud = r}};
  luaL_setmetatable(L, REQUEST);
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, KEEP);
  lua_setiuservalue(L, SELF, 1);
  pai_http_options o = {0};
  take_options(L, &o);
  lua_toclose(L, SELF);
  pai_error err;
  if (pai_http_start(&r->http, &o, &err) < 0)
    return pai_l_fail(L, &err);
  return step(L);
}

static int l_under_way(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pai_http_under_way());
  return 1;
}

static const luaL_Reg functions[] = {
    {"request", l_request},
    {"under_way", l_under_way},
    {NULL, NULL},
};

static int library_gc(lua_State *L) {
  (void)L;
  pai_http_unuse();
  return 0;
}

int luaopen_pai_http(lua_State *L) {
  // made first, so it is finalised last
  lua_newuserdatauv(L, 0, 0);
  lua_newtable(L);
  pai_http_use();
  lua_pushcfunction(L, library_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "pai.http.library");
  luaL_newmetatable(L, REQUEST);
  lua_pushcfunction(L, request_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, request_gc);
  lua_setfield(L, -2, "__close");
  pai_l_http_answer_type(L);
  luaL_newlib(L, functions);
  return 1;
}
