/* libyaml's events become Lua values as they are read. An alias gives the same table again; what
 * all aliases of a text would come to written out is counted and limited, for whoever walks the
 * result. */
#include "json.h"
#include "l_util.h"
#include "l_yaml.h"
#include "secret.h"

#include <stdio.h>
#include <string.h>

enum {
  DEPTH_DEFAULT = 128,
  ALIASES_DEFAULT = 1000,
  ALIAS_NODES_MAX = 1000000,
  SIZE_DEFAULT = 64 << 20 // bytes
};

typedef struct decoder {
  lua_State *L;
  pai_l_yaml_work *w;
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

// {timestamp = text}: no string, so that nobody takes it for one.
static void push_timestamp(lua_State *L, const char *text, size_t len) {
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, text, len);
  lua_setfield(L, -2, "timestamp");
  luaL_setmetatable(L, PAI_L_YAML_TIMESTAMP);
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
    pai_l_yaml_push_null(L);
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
    if (!pai_l_yaml_merge_keep(L, map + 1))
      return pai_yaml_reader_fail(d->r, PAI_E_PARSE, &d->err,
                                  "<< takes a map or a list of maps before this place");
    lua_pop(L, 1);
  }
  pai_l_yaml_merge_apply(L, map, map + 1);
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
    pai_l_yaml_push_null(d->L);
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

int pai_l_yaml_decode(lua_State *L) {
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
  d.max_depth = (int)opt_limit(L, "max_depth", DEPTH_DEFAULT, PAI_L_YAML_DEPTH_MOST);
  d.max_aliases = (size_t)opt_limit(L, "max_aliases", ALIASES_DEFAULT, 1000000);
  size_t max_size = (size_t)opt_limit(L, "max_size", SIZE_DEFAULT, 1 << 30);
  bool all = pai_l_opt_bool(L, 2, "all", false);
  d.w = pai_l_yaml_push_work(L);
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
