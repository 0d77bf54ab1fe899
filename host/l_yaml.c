/* pai.yaml: libyaml's events become Lua values as they are read, Lua values become events as they
 * are walked. Everything that only C could free lives in one userdata per call, so that any step
 * may raise. An alias gives the same table again; what all aliases of a text would come to written
 * out is counted and limited, for whoever walks the result. */
#include "json.h"
#include "l_util.h"
#include "secret.h"
#include "yaml_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORK "pai.yaml.work"
#define TIMESTAMP "pai.yaml.timestamp"

enum {
  DEPTH_DEFAULT = 128,
  DEPTH_MOST = 900, // libyaml itself stops at 1000
  ALIASES_DEFAULT = 1000,
  ALIAS_NODES_MAX = 1000000,
  SIZE_DEFAULT = 64 << 20, // bytes
  OUTPUT_MAX = 1 << 30,
  PATH_MAX_BYTES = 1 << 20
};

typedef struct work { // what must be freed whatever happens
  pai_yaml_reader reader;
  pai_yaml_writer writer;
  pai_buf path;
  pai_buf out;
} work;

typedef struct decoder {
  lua_State *L;
  work *w;
  pai_yaml_reader *r;
  pai_error err;
  pai_yaml_schema schema;
  bool last_wins;   // a key that is there already is replaced
  bool python_keys; // True, False, None
  bool timestamps;  // as tables
  int max_depth;
  size_t max_aliases;
  size_t aliases;
  size_t nodes;       // read so far, aliases counted in full
  size_t alias_nodes; // of these, through aliases
  int anchors;        // stack index: name -> value
  int sizes;          // name -> nodes, -1 while the node is open
  int positions;      // path -> line; 0 = not wanted
  int array_mt;
  int seal;   // set of keys whose values become secrets; 0 = none
  int sealed; // how many of them lie above the current node
} decoder;

static int build_node(decoder *d, int depth);

static int work_gc(lua_State *L) {
  work *w = luaL_checkudata(L, 1, WORK);
  pai_yaml_reader_free(&w->reader);
  pai_yaml_writer_free(&w->writer);
  pai_buf_free(&w->path);
  pai_buf_free(&w->out);
  return 0;
}

static work *push_work(lua_State *L) {
  work *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  pai_buf_init(&w->path, PATH_MAX_BYTES);
  pai_buf_init(&w->out, OUTPUT_MAX);
  luaL_setmetatable(L, WORK);
  return w;
}

static int next_event(decoder *d) {
  return pai_yaml_reader_next(d->r, &d->err);
}

// Adds ".name" to the path; returns the length to cut back to, or a negative code.
static int path_push(decoder *d, const char *name, size_t len, size_t *before) {
  pai_buf *path = &d->w->path;
  *before = path->len;
  if (d->positions == 0)
    return 0;
  int rc = path->len == 0 ? 0 : pai_buf_add(path, ".", 1);
  if (rc == 0)
    rc = pai_buf_add(path, name, len);
  if (rc < 0)
    return pai_yaml_reader_fail(d->r, rc, &d->err, "the path of a value is too long");
  lua_pushlstring(d->L, path->data, path->len);
  lua_pushinteger(d->L, (lua_Integer)d->r->event.start_mark.line + 1);
  lua_rawset(d->L, d->positions);
  return 0;
}

static void push_null(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&pai_json_null);
}

// {timestamp = text}: no string, so that nobody takes it for one.
static void push_timestamp(lua_State *L, const char *text, size_t len) {
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, text, len);
  lua_setfield(L, -2, "timestamp");
  luaL_setmetatable(L, TIMESTAMP);
}

static int resolve_event(decoder *d, pai_yaml_scalar *out) {
  const yaml_event_t *e = &d->r->event;
  const char *text = (const char *)e->data.scalar.value;
  const char *tag = (const char *)e->data.scalar.tag;
  size_t len = e->data.scalar.length;
  out->type = PAI_YAML_STRING;
  bool resolve = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  if (tag != NULL && d->schema == PAI_YAML_11 && strcmp(tag, "!") == 0) {
    resolve = true; // as PyYAML does, also for quoted text
  } else if (tag != NULL) {
    if (pai_yaml_resolve_tag(d->schema, tag, text, len, out))
      return 0;
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "cannot read \"%.40s\" as %.60s", text,
                                tag);
  }
  if (resolve)
    pai_yaml_resolve(d->schema, text, len, out);
  return 0;
}

static int push_scalar(decoder *d) {
  lua_State *L = d->L;
  pai_yaml_scalar value;
  int rc = resolve_event(d, &value);
  if (rc < 0)
    return rc;
  const char *text = (const char *)d->r->event.data.scalar.value;
  size_t len = d->r->event.data.scalar.length;
  if (d->sealed > 0 && len > 0 && value.type != PAI_YAML_NULL)
    return pai_secret_push_new(L, "a value of a document", text, len, &d->err);
  if (value.type == PAI_YAML_NULL)
    push_null(L);
  else if (value.type == PAI_YAML_BOOL)
    lua_pushboolean(L, value.boolean);
  else if (value.type == PAI_YAML_INT)
    lua_pushinteger(L, value.integer);
  else if (value.type == PAI_YAML_FLOAT)
    lua_pushnumber(L, value.number);
  else if (value.type == PAI_YAML_TIMESTAMP && d->timestamps)
    push_timestamp(L, text, len);
  else
    lua_pushlstring(L, text, len);
  return 0;
}

// A key that is no string becomes the text that JSON would have, or that Python prints.
static int push_key(decoder *d, bool *merge) {
  lua_State *L = d->L;
  pai_yaml_scalar value;
  *merge = false;
  int rc = resolve_event(d, &value);
  if (rc < 0)
    return rc;
  char number[48];
  switch (value.type) {
  case PAI_YAML_NULL:
    lua_pushstring(L, d->python_keys ? "None" : "null");
    break;
  case PAI_YAML_BOOL:
    if (d->python_keys)
      lua_pushstring(L, value.boolean ? "True" : "False");
    else
      lua_pushstring(L, value.boolean ? "true" : "false");
    break;
  case PAI_YAML_INT:
    lua_pushfstring(L, "%I", (LUAI_UACINT)value.integer);
    break;
  case PAI_YAML_FLOAT:
    lua_pushlstring(L, number, pai_yaml_format_float(value.number, number, sizeof number));
    break;
  default:
    *merge = value.type == PAI_YAML_MERGE;
    lua_pushlstring(L, (const char *)d->r->event.data.scalar.value, d->r->event.data.scalar.length);
  }
  return 0;
}

static int build_alias(decoder *d) {
  lua_State *L = d->L;
  const char *name = (const char *)d->r->event.data.alias.anchor;
  if (++d->aliases > d->max_aliases)
    return pai_yaml_reader_fail(d->r, PAI_E_LIMIT, &d->err, "more than %zu aliases",
                                d->max_aliases);
  lua_getfield(L, d->sizes, name);
  lua_Integer size = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (size == 0)
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "no anchor \"%.60s\" before this alias",
                                name);
  if (size < 0)
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err,
                                "the alias \"%.60s\" is inside the value that it stands for", name);
  d->nodes += (size_t)size;
  d->alias_nodes += (size_t)size;
  if (d->alias_nodes > ALIAS_NODES_MAX)
    return pai_yaml_reader_fail(d->r, PAI_E_LIMIT, &d->err,
                                "the aliases come to more than %d values", ALIAS_NODES_MAX);
  lua_getfield(L, d->anchors, name);
  return 0;
}

static int build_list(decoder *d, int depth) {
  lua_State *L = d->L;
  lua_newtable(L);
  for (lua_Integer i = 1;; i++) {
    int rc = next_event(d);
    if (rc < 0)
      return rc;
    if (d->r->event.type == YAML_SEQUENCE_END_EVENT)
      break;
    char index[24];
    size_t before;
    rc = path_push(d, index, (size_t)snprintf(index, sizeof index, "%lld", (long long)i), &before);
    if (rc < 0 || (rc = build_node(d, depth)) < 0)
      return rc;
    pai_buf_truncate(&d->w->path, before);
    lua_rawseti(L, -2, i);
  }
  lua_pushvalue(L, d->array_mt);
  lua_setmetatable(L, -2);
  return 0;
}

static bool is_map(lua_State *L, int idx) {
  if (!lua_istable(L, idx))
    return false;
  if (!lua_getmetatable(L, idx))
    return true;
  lua_pop(L, 1);
  return false;
}

// The value of << is on top: kept for later in the list at stack index merges (made when nil).
static int keep_merge(decoder *d, int merges) {
  lua_State *L = d->L;
  bool fits = is_map(L, -1);
  if (!fits && lua_istable(L, -1)) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    fits = true;
    for (lua_Integer i = 1; i <= n && fits; i++) {
      lua_rawgeti(L, -1, i);
      fits = is_map(L, -1);
      lua_pop(L, 1);
    }
  }
  if (!fits)
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err,
                                "<< takes a map or a list of maps before this place");
  if (lua_isnil(L, merges)) {
    lua_newtable(L);
    lua_replace(L, merges);
  }
  lua_rawseti(L, merges, (lua_Integer)lua_rawlen(L, merges) + 1);
  return 0;
}

// Copies into the table at `into` what it has not. from is on top and is popped.
static void fill_from(lua_State *L, int into) {
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pushvalue(L, -2);
    lua_rawget(L, into);
    bool absent = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (absent) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, into);
    } else {
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

// The map's own keys win; of several <<, the later; within a list, the earlier.
static void apply_merges(lua_State *L, int map, int merges) {
  if (lua_isnil(L, merges))
    return;
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, merges); i >= 1; i--) {
    lua_rawgeti(L, merges, i);
    if (is_map(L, -1)) {
      fill_from(L, map);
      continue;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer k = 1; k <= n; k++) {
      lua_rawgeti(L, -1, k);
      fill_from(L, map);
    }
    lua_pop(L, 1);
  }
}

// The current event is a key; it is left on top of the stack.
static int build_key(decoder *d, int map, bool *merge) {
  lua_State *L = d->L;
  *merge = false;
  if (d->r->event.type == YAML_ALIAS_EVENT) {
    int rc = build_alias(d);
    if (rc < 0)
      return rc;
    if (lua_type(L, -1) != LUA_TSTRING)
      return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "a key must be a string");
  } else if (d->r->event.type == YAML_SCALAR_EVENT) {
    const char *anchor = (const char *)d->r->event.data.scalar.anchor;
    int rc = push_key(d, merge);
    if (rc < 0)
      return rc;
    if (anchor != NULL) {
      lua_pushvalue(L, -1);
      lua_setfield(L, d->anchors, anchor);
      lua_pushinteger(L, 1);
      lua_setfield(L, d->sizes, anchor);
    }
  } else {
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "a key must be a scalar");
  }
  if (d->last_wins || *merge)
    return 0;
  lua_pushvalue(L, -1);
  bool twice = lua_rawget(L, map) != LUA_TNIL;
  lua_pop(L, 1);
  if (twice)
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "the key \"%.80s\" is there twice",
                                lua_tostring(L, -1));
  return 0;
}

// Whether what stands under the key on top is secret.
static bool is_sealed(decoder *d) {
  if (d->seal == 0)
    return false;
  lua_pushvalue(d->L, -1);
  bool is = lua_rawget(d->L, d->seal) != LUA_TNIL;
  lua_pop(d->L, 1);
  return is;
}

static int build_map(decoder *d, int depth) {
  lua_State *L = d->L;
  lua_newtable(L);
  int map = lua_gettop(L);
  lua_pushnil(L);
  for (;;) {
    bool merge;
    int rc = next_event(d);
    if (rc < 0)
      return rc;
    if (d->r->event.type == YAML_MAPPING_END_EVENT)
      break;
    if ((rc = build_key(d, map, &merge)) < 0)
      return rc;
    size_t len, before;
    const char *key = lua_tolstring(L, -1, &len);
    rc = path_push(d, key, len, &before);
    bool seal = is_sealed(d);
    d->sealed += seal;
    if (rc < 0 || (rc = next_event(d)) < 0 || (rc = build_node(d, depth)) < 0)
      return rc;
    d->sealed -= seal;
    pai_buf_truncate(&d->w->path, before);
    if (!merge) {
      lua_rawset(L, map);
      continue;
    }
    if ((rc = keep_merge(d, map + 1)) < 0)
      return rc;
    lua_pop(L, 1);
  }
  apply_merges(L, map, map + 1);
  lua_settop(L, map);
  return 0;
}

// Only !!map and !!seq may stand before a collection.
static int check_collection_tag(decoder *d, const yaml_char_t *tag, const char *fitting) {
  if (tag == NULL || strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, fitting) == 0)
    return 0;
  return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err, "the tag %.80s is not supported",
                              (const char *)tag);
}

// The current event begins a node; its value is pushed.
static int build_collection(decoder *d, int depth) {
  const yaml_event_t *e = &d->r->event;
  if (depth >= d->max_depth)
    return pai_yaml_reader_fail(d->r, PAI_E_LIMIT, &d->err, "nested deeper than %d levels",
                                d->max_depth);
  luaL_checkstack(d->L, 12, "YAML");
  bool map = e->type == YAML_MAPPING_START_EVENT;
  int rc = check_collection_tag(d, map ? e->data.mapping_start.tag : e->data.sequence_start.tag,
                                map ? YAML_MAP_TAG : YAML_SEQ_TAG);
  if (rc < 0)
    return rc;
  return map ? build_map(d, depth + 1) : build_list(d, depth + 1);
}

static int build_node(decoder *d, int depth) {
  lua_State *L = d->L;
  const yaml_event_t *e = &d->r->event;
  if (e->type == YAML_ALIAS_EVENT)
    return build_alias(d);
  bool is_scalar = e->type == YAML_SCALAR_EVENT;
  const yaml_char_t *anchor = is_scalar                             ? e->data.scalar.anchor
                              : e->type == YAML_MAPPING_START_EVENT ? e->data.mapping_start.anchor
                                                                    : e->data.sequence_start.anchor;
  size_t nodes = d->nodes++;
  if (anchor == NULL)
    return is_scalar ? push_scalar(d) : build_collection(d, depth);
  // the event, and the name in it, are gone once the node has been built
  lua_pushstring(L, (const char *)anchor);
  lua_pushvalue(L, -1);
  lua_pushinteger(L, -1);
  lua_rawset(L, d->sizes);
  int rc = is_scalar ? push_scalar(d) : build_collection(d, depth);
  if (rc < 0)
    return rc;
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_rawset(L, d->anchors);
  lua_pushvalue(L, -2);
  lua_pushinteger(L, (lua_Integer)(d->nodes - nodes));
  lua_rawset(L, d->sizes);
  lua_remove(L, -2);
  return 0;
}

// After DOCUMENT-START: pushes the document's value.
static int build_document(decoder *d) {
  lua_State *L = d->L;
  lua_newtable(L);
  lua_replace(L, d->anchors);
  lua_newtable(L);
  lua_replace(L, d->sizes);
  int rc = next_event(d);
  if (rc < 0 || (rc = build_node(d, 0)) < 0)
    return rc;
  return next_event(d); // DOCUMENT-END
}

static int build_all(decoder *d) {
  lua_State *L = d->L;
  lua_newtable(L);
  for (lua_Integer i = 1;; i++) {
    int rc = next_event(d);
    if (rc < 0)
      return rc;
    if (d->r->event.type == YAML_STREAM_END_EVENT)
      break;
    char index[24];
    size_t before;
    rc = path_push(d, index, (size_t)snprintf(index, sizeof index, "%lld", (long long)i), &before);
    if (rc < 0 || (rc = build_document(d)) < 0)
      return rc;
    pai_buf_truncate(&d->w->path, before);
    lua_rawseti(L, -2, i);
  }
  lua_pushvalue(L, d->array_mt);
  lua_setmetatable(L, -2);
  return 0;
}

static int build_one(decoder *d) {
  int rc = next_event(d);
  if (rc < 0)
    return rc;
  if (d->r->event.type == YAML_STREAM_END_EVENT) {
    push_null(d->L);
    return 0;
  }
  if ((rc = build_document(d)) < 0 || (rc = next_event(d)) < 0)
    return rc;
  if (d->r->event.type != YAML_STREAM_END_EVENT)
    return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err,
                                "a second document (the option all reads several)");
  return 0;
}

static int fail(decoder *d) {
  lua_State *L = d->L;
  pai_yaml_reader_free(d->r);
  pai_l_fail(L, &d->err);
  if (d->r->line != 0) {
    lua_pushinteger(L, (lua_Integer)d->r->line);
    lua_setfield(L, -2, "line");
    lua_pushinteger(L, (lua_Integer)d->r->column);
    lua_setfield(L, -2, "column");
  }
  return 2;
}

static lua_Integer opt_limit(lua_State *L, const char *name, lua_Integer def, lua_Integer most) {
  lua_Integer n = pai_l_opt_integer(L, 2, name, def);
  if (n < 0 || n > most)
    luaL_error(L, "option '%s' must be between 0 and %I", name, (LUAI_UACINT)most);
  return n;
}

static bool opt_choice(lua_State *L, const char *name, const char *def, const char *other) {
  const char *value = pai_l_opt_string(L, 2, name, def);
  if (strcmp(value, def) != 0 && strcmp(value, other) != 0)
    luaL_error(L, "option '%s' must be \"%s\" or \"%s\"", name, def, other);
  return strcmp(value, other) == 0;
}

static int l_decode(lua_State *L) {
  static const char *const options[] = {"schema",     "all",       "max_depth", "max_aliases",
                                        "max_size",   "positions", "strict",    "keys",
                                        "timestamps", "secret",    NULL};
  size_t len;
  const pai_secret *locked = pai_secret_test(L, 1);
  const char *text = locked ? pai_secret_data(locked, &len) : luaL_checklstring(L, 1, &len);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  decoder d = {.L = L};
  d.schema = opt_choice(L, "schema", "core", "1.1") ? PAI_YAML_11 : PAI_YAML_CORE;
  d.last_wins = d.schema == PAI_YAML_11 && !pai_l_opt_bool(L, 2, "strict", false);
  d.python_keys = opt_choice(L, "keys", "json", "python");
  d.timestamps = opt_choice(L, "timestamps", "text", "table");
  d.max_depth = (int)opt_limit(L, "max_depth", DEPTH_DEFAULT, DEPTH_MOST);
  d.max_aliases = (size_t)opt_limit(L, "max_aliases", ALIASES_DEFAULT, 1000000);
  size_t max_size = (size_t)opt_limit(L, "max_size", SIZE_DEFAULT, 1 << 30);
  bool all = pai_l_opt_bool(L, 2, "all", false);
  d.w = push_work(L);
  d.r = &d.w->reader;
  bool seals = lua_istable(L, 2) && lua_getfield(L, 2, "secret") == LUA_TTABLE;
  d.seal = seals ? lua_gettop(L) : 0;
  lua_pushnil(L);
  d.anchors = lua_gettop(L);
  lua_pushnil(L);
  d.sizes = lua_gettop(L);
  pai_json_push_array_mt(L);
  d.array_mt = lua_gettop(L);
  bool positions = pai_l_opt_bool(L, 2, "positions", false);
  if (positions) {
    lua_newtable(L);
    d.positions = lua_gettop(L);
  }
  if (len > max_size) {
    pai_error_set(&d.err, PAI_E_LIMIT, "the YAML text is over %zu bytes", max_size);
    return fail(&d);
  }
  int rc = pai_yaml_reader_init(d.r, text, len, &d.err);
  if (rc == 0)
    rc = next_event(&d); // STREAM-START
  if (rc == 0)
    rc = all ? build_all(&d) : build_one(&d);
  if (rc < 0)
    return fail(&d);
  pai_yaml_reader_free(d.r);
  if (positions)
    lua_pushvalue(L, d.positions);
  return positions ? 2 : 1;
}

static int timestamp_tostring(lua_State *L) {
  lua_getfield(L, 1, "timestamp");
  return 1;
}

typedef struct key_ref { // borrowed from the table that is walked
  const char *text;
  size_t len;
  lua_Integer rank; // place in the option order, after all of it for the others
} key_ref;

typedef struct encoder {
  lua_State *L;
  work *w;
  pai_error err;
  int order; // stack index: key -> rank
  int array_mt;
  int depth;
} encoder;

static void write_value(encoder *e);

// Raises when rc says so. The caller's value is at fault, or memory is out.
static void check(encoder *e, int rc) {
  if (rc < 0)
    luaL_error(e->L, "cannot encode as YAML: %s", e->err.message);
}

static int compare_keys(const void *a, const void *b) {
  const key_ref *x = a, *y = b;
  if (x->rank != y->rank)
    return x->rank < y->rank ? -1 : 1;
  int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
  return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

// Pushes the sorted keys of the map on top as a userdata; returns how many there are.
static size_t push_keys(encoder *e, int map, key_ref **out) {
  lua_State *L = e->L;
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, map) != 0; lua_pop(L, 1), n++)
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "cannot encode a table with a %s among its keys as a YAML map",
                 luaL_typename(L, -2));
  key_ref *keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, map) != 0; lua_pop(L, 1), i++) {
    keys[i].text = lua_tolstring(L, -2, &keys[i].len);
    lua_pushvalue(L, -2);
    lua_rawget(L, e->order);
    keys[i].rank = lua_isnil(L, -1) ? LUA_MAXINTEGER : lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  qsort(keys, n, sizeof *keys, compare_keys);
  *out = keys;
  return n;
}

static void write_map(encoder *e) {
  lua_State *L = e->L;
  int map = lua_gettop(L);
  key_ref *keys;
  size_t n = push_keys(e, map, &keys);
  check(e, pai_yaml_writer_map(&e->w->writer, true, &e->err));
  for (size_t i = 0; i < n; i++) {
    check(e, pai_yaml_writer_string(&e->w->writer, keys[i].text, keys[i].len, &e->err));
    lua_pushlstring(L, keys[i].text, keys[i].len);
    lua_rawget(L, map);
    write_value(e);
    lua_pop(L, 1);
  }
  check(e, pai_yaml_writer_map(&e->w->writer, false, &e->err));
  lua_settop(L, map);
}

static void write_list(encoder *e, lua_Integer n) {
  lua_State *L = e->L;
  lua_Integer keys = 0;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
    keys++;
  if (keys != n)
    luaL_error(L, "cannot encode a list of %d with %d keys: it has holes or names", (int)n,
               (int)keys);
  check(e, pai_yaml_writer_list(&e->w->writer, true, &e->err));
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    write_value(e);
    lua_pop(L, 1);
  }
  check(e, pai_yaml_writer_list(&e->w->writer, false, &e->err));
}

static void write_table(encoder *e) {
  lua_State *L = e->L;
  if (e->depth >= DEPTH_MOST)
    luaL_error(L, "cannot encode tables nested deeper than %d levels (or in a circle)",
               (int)DEPTH_MOST);
  luaL_checkstack(L, 10, "YAML");
  bool list = false;
  if (lua_getmetatable(L, -1)) {
    list = lua_rawequal(L, -1, e->array_mt);
    luaL_getmetatable(L, TIMESTAMP);
    bool timestamp = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (timestamp) {
      lua_getfield(L, -1, "timestamp");
      check(e, pai_yaml_writer_plain(&e->w->writer, luaL_checkstring(L, -1), &e->err));
      lua_pop(L, 1);
      return;
    }
  }
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  e->depth++;
  if (list || n > 0)
    write_list(e, n);
  else
    write_map(e);
  e->depth--;
}

static void write_number(encoder *e) {
  lua_State *L = e->L;
  char text[48];
  if (lua_isinteger(L, -1))
    snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, -1));
  else
    pai_yaml_format_float(lua_tonumber(L, -1), text, sizeof text);
  check(e, pai_yaml_writer_plain(&e->w->writer, text, &e->err));
}

// Writes the value on top of the stack and leaves it there.
static void write_value(encoder *e) {
  lua_State *L = e->L;
  size_t len;
  const char *text;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    text = lua_tolstring(L, -1, &len);
    check(e, pai_yaml_writer_string(&e->w->writer, text, len, &e->err));
    return;
  case LUA_TNUMBER:
    write_number(e);
    return;
  case LUA_TBOOLEAN:
    text = lua_toboolean(L, -1) ? "true" : "false";
    check(e, pai_yaml_writer_plain(&e->w->writer, text, &e->err));
    return;
  case LUA_TTABLE:
    write_table(e);
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) == (const void *)&pai_json_null) {
      check(e, pai_yaml_writer_plain(&e->w->writer, "null", &e->err));
      return;
    }
    break;
  default:
    break;
  }
  luaL_error(L, "cannot encode a %s as YAML", luaL_typename(L, -1));
}

// Leaves a table key -> rank on the stack.
static int push_order(lua_State *L) {
  lua_newtable(L);
  int order = lua_gettop(L);
  if (lua_isnil(L, 2) || lua_getfield(L, 2, "order") == LUA_TNIL) {
    lua_settop(L, order);
    return order;
  }
  if (!lua_istable(L, -1))
    luaL_error(L, "option 'order' must be a list of keys");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_pushinteger(L, i);
    lua_rawset(L, order);
  }
  lua_settop(L, order);
  return order;
}

static void write_document(encoder *e) {
  check(e, pai_yaml_writer_document(&e->w->writer, true, &e->err));
  write_value(e);
  check(e, pai_yaml_writer_document(&e->w->writer, false, &e->err));
}

static int l_encode(lua_State *L) {
  static const char *const options[] = {"order", "all", NULL};
  luaL_checkany(L, 1);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  bool all = pai_l_opt_bool(L, 2, "all", false);
  encoder e = {.L = L};
  e.order = push_order(L);
  pai_json_push_array_mt(L);
  e.array_mt = lua_gettop(L);
  e.w = push_work(L);
  check(&e, pai_yaml_writer_init(&e.w->writer, &e.w->out, &e.err));
  if (all)
    luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = all ? (lua_Integer)lua_rawlen(L, 1) : 1;
  for (lua_Integer i = 1; i <= n; i++) {
    if (all)
      lua_rawgeti(L, 1, i);
    else
      lua_pushvalue(L, 1);
    write_document(&e);
    lua_pop(L, 1);
  }
  check(&e, pai_yaml_writer_finish(&e.w->writer, &e.err));
  lua_pushlstring(L, e.w->out.data, e.w->out.len);
  return 1;
}

static const luaL_Reg functions[] = {
    {"decode", l_decode},
    {"encode", l_encode},
    {NULL, NULL},
};

int luaopen_pai_yaml(lua_State *L);

int luaopen_pai_yaml(lua_State *L) {
  luaL_newmetatable(L, WORK);
  lua_pushcfunction(L, work_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, TIMESTAMP);
  lua_pushcfunction(L, timestamp_tostring);
  lua_setfield(L, -2, "__tostring");
  luaL_newlib(L, functions);
  push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
