/* JSON straight to Lua tables. What a table is made of is collected on the Lua stack first, so that
 * most tables are made with their final size; short strings that came before are copied from a
 * cache of stack slots, which is faster than interning them again. Lists of like objects are the
 * rule: so after a key the one that followed it last time is tried first, by its bytes alone, and a
 * key whose values never came again has them no longer looked up. */
#include "json.h"
#include "l_json.h"
#include "l_json_paths.h"
#include "l_util.h"
#include "mask.h"
#include "secret.h"
#include "secret_mem.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define CACHE_SIZE 256        // keys, and as many values
#define ROOT (2 * CACHE_SIZE) // for what has no key
#define FRESH_MAX 256         // new values of a key after which it is not looked up any more
#define CACHE_LONGEST 40      // bytes; Lua interns no longer ones
#define CACHE_FROM 2048       // bytes of text; a small one is read faster without
#define HASHES 1024
#define PAIRS 24 // members that wait on the stack before their table is made
#define ITEMS 64
#define STACK 8 // slots (of members twice as many) asked for at a time: a new task has few

typedef struct slot { // of the cache; its string is on the stack
  const char *s;      // in the text
  uint32_t hash, len; // len 0: empty
  // Of keys: the slots of the key that followed and of the first one in the object below, and how
  // many values in a row were new.
  uint16_t next, below, fresh;
} slot;

typedef struct decoder {
  lua_State *L;
  pai_json_reader r;
  const pai_json_pick *picks; // NULL: no paths are given
  bool all;                   // what no path names is taken too
  int warnings;               // stack index of the list for secrets that are not masked, 0 = none
  int depth, max_depth;
  int array_mt; // stack index
  int cache;    // stack index of slot 0, 0 = no cache
  bool keep_null, exact;
  slot *slots; // keys, values, and ROOT; NULL: no cache
  unsigned at; // slot of the key whose value is read
} decoder;

// The members of one object while they are read.
typedef struct members {
  const char *open;             // its '{'
  int table;                    // stack index
  int waiting;                  // pairs on the stack
  bool twice;                   // a hash came twice: look each key up before it is set
  bool nulls;                   // a member is null
  uint64_t hashes[HASHES / 64]; // of the keys so far; not in here = not a duplicate
} members;

// 1: pushed a value; 0: nothing of it was picked; negative: error.
static int read_value(decoder *d, int node);

// Of length, first and last eight bytes: what differs elsewhere shares a slot, no more.
static uint32_t hash_bytes(const char *s, size_t len) {
  uint64_t a = 0, b = 0;
  if (len >= 8) {
    memcpy(&a, s, 8);
    memcpy(&b, s + len - 8, 8);
  } else {
    for (size_t i = 0; i < len; i++)
      a = a << 8 | (unsigned char)s[i];
  }
  uint64_t h = (a ^ len) * UINT64_C(0x9E3779B97F4A7C15);
  h = (h ^ h >> 32 ^ b) * UINT64_C(0xD6E8FEB86659FD93);
  return (uint32_t)(h >> 32);
}

// Pushes a string that may be in the cache, in the slot of its hash from base on. Returns the slot,
// ROOT when there is none; *fresh: it was not there.
static unsigned push_string(decoder *d, const char *s, size_t len, uint32_t hash, unsigned base,
                            bool *fresh) {
  *fresh = true;
  if (d->slots == NULL || len == 0 || len > CACHE_LONGEST || s < d->r.text || s >= d->r.end) {
    lua_pushlstring(d->L, s, len);
    return ROOT;
  }
  unsigned at = base + hash % CACHE_SIZE;
  slot *c = &d->slots[at];
  *fresh = c->hash != hash || c->len != len || memcmp(c->s, s, len) != 0;
  if (!*fresh) {
    lua_pushvalue(d->L, d->cache + (int)at);
    return at;
  }
  lua_pushlstring(d->L, s, len);
  lua_copy(d->L, -1, d->cache + (int)at);
  *c = (slot){.s = s, .hash = hash, .len = (uint32_t)len, .next = ROOT, .below = ROOT};
  return at;
}

static void push_value_string(decoder *d, const char *s, size_t len) {
  slot *key = d->slots != NULL ? &d->slots[d->at] : NULL;
  if (key == NULL || key->fresh >= FRESH_MAX) {
    lua_pushlstring(d->L, s, len);
    return;
  }
  bool fresh;
  push_string(d, s, len, hash_bytes(s, len), CACHE_SIZE, &fresh);
  key->fresh = fresh ? (uint16_t)(key->fresh + 1) : 0;
}

static int no_memory(decoder *d) {
  return pai_error_set(d->r.err, PAI_E_NOMEM, "out of memory while reading JSON");
}

static int too_deep(decoder *d) {
  return pai_json_fail(&d->r, d->r.p, PAI_E_LIMIT, "nested deeper than %d levels", d->max_depth);
}

// Finds the second member called key in the object that begins at `open`, to say where it is.
static int duplicate(decoder *d, const char *open) {
  size_t len, other_len;
  const char *key = lua_tolstring(d->L, -1, &len), *other;
  pai_json_reader r = d->r;
  bool seen = false;
  for (r.p = open + 1;; r.p++) { // past '{' or ','
    pai_json_space(&r);
    const char *at = r.p++;
    if (pai_json_read_string(&r, &other, &other_len) < 0)
      break;
    if (len == other_len && memcmp(key, other, len) == 0) {
      if (seen)
        return pai_json_fail(&d->r, at, PAI_E_PARSE, "the key \"%.60s\" is there twice", key);
      seen = true;
    }
    pai_json_space(&r);
    r.p++;
    pai_json_space(&r);
    if (pai_json_skip(&r, d->max_depth) < 0)
      break;
    pai_json_space(&r);
  }
  return pai_json_fail(&d->r, d->r.p, PAI_E_PARSE, "the key \"%.60s\" is there twice", key);
}

// Moves the waiting pairs from the stack into the table, which is made now if it is nil.
static int flush_pairs(decoder *d, members *m, bool last) {
  lua_State *L = d->L;
  if (lua_isnil(L, m->table)) {
    lua_createtable(L, 0, last ? m->waiting : m->waiting * 2);
    lua_replace(L, m->table);
  }
  for (; m->waiting > 0; m->waiting--) {
    if (m->twice) {
      lua_pushvalue(L, -2);
      if (lua_rawget(L, m->table) != LUA_TNIL) {
        lua_pop(L, 2);
        return duplicate(d, m->open);
      }
      lua_pop(L, 1);
    }
    lua_rawset(L, m->table);
  }
  return 0;
}

// Takes the members out again that hold null; they had to be there to find duplicates.
static void drop_nulls(lua_State *L, int table) {
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    bool null = lua_touserdata(L, -1) == (const void *)&pai_json_null;
    lua_pop(L, 1);
    if (null) {
      lua_pushvalue(L, -1);
      lua_pushnil(L);
      lua_rawset(L, table);
    }
  }
}

static int find_pick(const decoder *d, int node, const char *key, size_t len) {
  for (int c = d->picks[node].child; c != 0; c = d->picks[c].next)
    if (d->picks[c].len == len && memcmp(d->picks[c].key, key, len) == 0)
      return c;
  return -1;
}

typedef struct key {
  const char *s;
  size_t len;
  uint32_t hash;
  unsigned at; // its slot when it was guessed, else ROOT
} key;

// p is at the key's quote, then after the closing one. guess: a slot, or ROOT.
static int read_key(decoder *d, unsigned guess, key *k) {
  pai_json_reader *r = &d->r;
  if (*r->p != '"')
    return pai_json_unexpected(r, "a key");
  r->p++;
  const slot *c = guess != ROOT ? &d->slots[guess] : NULL;
  if (c != NULL && c->len != 0 && (size_t)(r->end - r->p) > c->len && r->p[c->len] == '"' &&
      memcmp(r->p, c->s, c->len) == 0) {
    *k = (key){.s = r->p, .len = c->len, .hash = c->hash, .at = guess};
    r->p += c->len + 1;
    return 0;
  }
  int rc = pai_json_read_string(r, &k->s, &k->len);
  k->at = ROOT;
  return rc;
}

// *guess: where the slot of the key that comes is noted, then that of the next one.
static void push_key(decoder *d, members *m, key *k, uint16_t **guess) {
  bool fresh;
  if (k->at != ROOT) {
    lua_pushvalue(d->L, d->cache + (int)k->at);
  } else {
    k->hash = hash_bytes(k->s, k->len);
    k->at = push_string(d, k->s, k->len, k->hash, 0, &fresh);
  }
  if (d->slots != NULL) {
    **guess = (uint16_t)k->at;
    *guess = k->at != ROOT ? &d->slots[k->at].next : &d->slots[ROOT].next;
    d->at = k->at;
  }
  uint32_t bit = k->hash / CACHE_SIZE % HASHES;
  m->twice = m->twice || (m->hashes[bit / 64] >> bit % 64 & 1) != 0;
  m->hashes[bit / 64] |= UINT64_C(1) << bit % 64;
}

// Reads `"key" : value` and pushes both; pushes nothing if nothing of it was picked.
static int read_member(decoder *d, members *m, int node, uint16_t **guess) {
  pai_json_reader *r = &d->r;
  key k;
  int rc = read_key(d, d->slots != NULL ? **guess : ROOT, &k);
  if (rc < 0)
    return rc;
  int child = node >= 0 ? find_pick(d, node, k.s, k.len) : -1;
  bool take = d->all || child >= 0;
  if (take)
    push_key(d, m, &k, guess);
  pai_json_space(r);
  if (*r->p != ':')
    return pai_json_unexpected(r, "':'");
  r->p++;
  pai_json_space(r);
  if (!take)
    return pai_json_skip(r, d->max_depth - d->depth);
  rc = read_value(d, child);
  if (rc == 0)
    lua_pop(d->L, 1);
  if (rc == 1) {
    m->waiting++;
    m->nulls = m->nulls || lua_islightuserdata(d->L, -1);
  }
  return rc;
}

// p is after the '{'.
static int read_members(decoder *d, members *m, int node) {
  pai_json_reader *r = &d->r;
  uint16_t *guess = d->slots != NULL ? &d->slots[d->at].below : NULL;
  for (;;) {
    if (m->waiting % STACK == 0 && !lua_checkstack(d->L, 2 * STACK + 8))
      return no_memory(d);
    int rc = read_member(d, m, node, &guess);
    if (rc >= 0 && m->waiting == PAIRS)
      rc = flush_pairs(d, m, false);
    if (rc < 0)
      return rc;
    pai_json_space(r);
    char c = *r->p;
    if (c != ',' && c != '}')
      return pai_json_unexpected(r, "',' or '}'");
    r->p++;
    if (c == '}')
      return 0;
    pai_json_space(r);
  }
}

static int read_object(decoder *d, int node) {
  lua_State *L = d->L;
  members m = {.open = d->r.p++};
  if (++d->depth > d->max_depth)
    return too_deep(d);
  if (!lua_checkstack(L, 8))
    return no_memory(d);
  lua_pushnil(L);
  m.table = lua_gettop(L);
  int rc = 0;
  pai_json_space(&d->r);
  if (*d->r.p == '}')
    d->r.p++;
  else
    rc = read_members(d, &m, node);
  if (rc == 0)
    rc = flush_pairs(d, &m, true);
  if (rc == 0 && m.nulls && !d->keep_null)
    drop_nulls(L, m.table);
  d->depth--;
  return rc < 0 ? rc : 1;
}

static void flush_items(lua_State *L, int table, int n, lua_Integer have, bool last) {
  if (lua_isnil(L, table)) {
    lua_createtable(L, last ? n : n * 2, 0);
    lua_replace(L, table);
  }
  for (; n > 0; n--)
    lua_rawseti(L, table, have + n);
}

static int read_list(decoder *d, int node) {
  pai_json_reader *r = &d->r;
  lua_State *L = d->L;
  r->p++;
  if (++d->depth > d->max_depth)
    return too_deep(d);
  if (!lua_checkstack(L, 8))
    return no_memory(d);
  lua_pushnil(L);
  int table = lua_gettop(L), n = 0;
  lua_Integer have = 0;
  const unsigned at = d->at;
  pai_json_space(r);
  if (*r->p == ']') {
    r->p++;
  } else {
    for (;;) {
      d->at = at;
      if (n % STACK == 0 && !lua_checkstack(L, STACK + 8))
        return no_memory(d);
      int rc = read_value(d, node);
      if (rc < 0)
        return rc;
      if (rc == 0) // nothing picked: its place stays
        lua_pushlightuserdata(L, (void *)&pai_json_null);
      if (++n == ITEMS) {
        flush_items(L, table, n, have, false);
        have += n;
        n = 0;
      }
      pai_json_space(r);
      char c = *r->p;
      if (c != ',' && c != ']')
        return pai_json_unexpected(r, "',' or ']'");
      r->p++;
      if (c == ']')
        break;
      pai_json_space(r);
    }
  }
  flush_items(L, table, n, have, true);
  lua_pushvalue(L, d->array_mt);
  lua_setmetatable(L, table);
  d->depth--;
  return 1;
}

static int read_scalar(decoder *d) {
  lua_State *L = d->L;
  pai_json_reader *r = &d->r;
  int rc;
  switch (*r->p) {
  case '"': {
    const char *s;
    size_t len;
    r->p++;
    rc = pai_json_read_string(r, &s, &len);
    if (rc == 0)
      push_value_string(d, s, len);
    break;
  }
  case 't':
    rc = pai_json_read_word(r, "true", 4);
    lua_pushboolean(L, 1);
    break;
  case 'f':
    rc = pai_json_read_word(r, "false", 5);
    lua_pushboolean(L, 0);
    break;
  case 'n':
    rc = pai_json_read_word(r, "null", 4);
    lua_pushlightuserdata(L, (void *)&pai_json_null);
    break;
  default: {
    pai_json_number number = {0};
    if (*r->p != '-' && (*r->p < '0' || *r->p > '9'))
      return pai_json_unexpected(r, "a value");
    rc = pai_json_read_number(r, d->exact, &number);
    if (rc == 0 && number.is_float)
      lua_pushnumber(L, number.d);
    else if (rc == 0)
      lua_pushinteger(L, number.i);
  }
  }
  return rc < 0 ? rc : 1;
}

// A string that becomes a handle: its bytes pass through memory that is wiped, never through Lua.
static int read_secret(decoder *d, const pai_json_pick *at) {
  pai_json_reader *r = &d->r;
  const char *s, *begin = r->p;
  size_t len;
  char name[80];
  if (*begin == 'n')
    return read_scalar(d);
  if (*begin != '"')
    return pai_json_fail(r, begin, PAI_E_PARSE, "a secret is a string or null");
  r->p++;
  int rc = pai_json_read_string(r, &s, &len);
  if (rc < 0)
    return rc;
  if (at->key != NULL)
    snprintf(name, sizeof name, "json %.*s", (int)(at->len < 60 ? at->len : 60), at->key);
  else
    snprintf(name, sizeof name, "json item");
  pai_secret *secret = pai_secret_new(name, s, len, r->err);
  const char *unfit = pai_mask_unfit(s, len);
  pai_wipe(r->scratch->data, r->scratch->cap);
  if (secret == NULL)
    return r->err->code;
  pai_secret_push(d->L, secret);
  if (unfit != NULL) {
    lua_pushfstring(d->L, "%s is not masked in output: it is %s", name, unfit);
    lua_rawseti(d->L, d->warnings, (lua_Integer)lua_rawlen(d->L, d->warnings) + 1);
  }
  return 1;
}

static int read_value(decoder *d, int node) {
  char c = *d->r.p;
  const pai_json_pick *at = node >= 0 ? &d->picks[node] : NULL;
  if (at != NULL && at->secret)
    return read_secret(d, at);
  bool all = d->all,
       fits = at != NULL && ((c == '{' && at->child != 0) || (c == '[' && at->each != 0));
  d->all = all || (at != NULL && at->whole);
  int rc;
  if (!fits && !d->all)
    rc = pai_json_skip(&d->r, d->max_depth - d->depth);
  else if (c == '{')
    rc = read_object(d, fits ? node : -1);
  else if (c == '[')
    rc = read_list(d, fits ? at->each : -1);
  else
    rc = read_scalar(d);
  d->all = all;
  return rc;
}

// The text at index 1: a string, or a handle whose text is not to become one.
static const char *check_text(lua_State *L, size_t *len, bool secrets) {
  const pai_secret *handle = pai_secret_test(L, 1);
  if (handle == NULL) {
    luaL_checktype(L, 1, LUA_TSTRING);
    return lua_tolstring(L, 1, len);
  }
  luaL_argcheck(L, secrets, 1, "the text is a secret: name its secret values in option 'secret'");
  return pai_secret_data(handle, len);
}

static int push_results(decoder *d, bool secrets) {
  if (!secrets)
    return 1;
  lua_pushnil(d->L);
  lua_pushvalue(d->L, d->warnings);
  return 3;
}

static int push_failure(const decoder *d) {
  pai_l_fail(d->L, d->r.err);
  if (d->r.line != 0) {
    lua_pushinteger(d->L, d->r.line);
    lua_setfield(d->L, -2, "line");
    lua_pushinteger(d->L, d->r.column);
    lua_setfield(d->L, -2, "column");
  }
  return 2;
}

static int read_text(decoder *d, int node) {
  pai_json_space(&d->r);
  int rc = read_value(d, node);
  if (rc == 0)
    lua_pushnil(d->L);
  if (rc < 0)
    return rc;
  pai_json_space(&d->r);
  return d->r.p < d->r.end ? pai_json_unexpected(&d->r, "the end") : 0;
}

static void start_cache(decoder *d, slot *slots) {
  luaL_checkstack(d->L, 2 * CACHE_SIZE + LUA_MINSTACK, "JSON");
  d->cache = lua_gettop(d->L) + 1;
  lua_settop(d->L, lua_gettop(d->L) + 2 * CACHE_SIZE);
  memset(slots, 0, ROOT * sizeof *slots);
  slots[ROOT] = (slot){.next = ROOT, .below = ROOT};
  d->slots = slots;
  d->at = ROOT;
}

static void take_options(lua_State *L, decoder *d) {
  static const char *const options[] = {"null", "max_depth", "pick", "exact", "secret", NULL};
  pai_l_check_options(L, 2, options);
  lua_Integer depth = pai_l_opt_integer(L, 2, "max_depth", PAI_JSON_MAX_DEPTH);
  if (depth < 1 || depth > PAI_JSON_DEPTH_CEILING)
    luaL_error(L, "option 'max_depth' must be 1 to %d", PAI_JSON_DEPTH_CEILING);
  d->max_depth = (int)depth;
  d->keep_null = pai_l_opt_bool(L, 2, "null", true);
  d->exact = pai_l_opt_bool(L, 2, "exact", false);
}

int pai_json_l_decode(lua_State *L) {
  size_t len;
  slot slots[ROOT + 1];
  decoder d = {.L = L};
  lua_settop(L, 2);
  take_options(L, &d);
  pai_json_work *w = pai_json_work_begin(L);
  d.all = !pai_json_paths(L, &w->picks, "pick");
  bool secrets = pai_json_paths(L, &w->picks, "secret");
  d.picks = (const pai_json_pick *)(const void *)w->picks.data;
  const char *text = check_text(L, &len, secrets);
  // What is decoded on the way to a handle stays in one place, where it is wiped.
  if (secrets && pai_buf_reserve(&w->bytes, len + 1) < 0)
    return luaL_error(L, "out of memory for JSON");
  if (secrets) {
    lua_newtable(L);
    d.warnings = lua_gettop(L);
  }
  pai_error err;
  pai_json_reader_init(&d.r, text, len, &w->bytes, &err);
  lua_pushvalue(L, lua_upvalueindex(2));
  d.array_mt = lua_gettop(L);
  if (len >= CACHE_FROM)
    start_cache(&d, slots);
  int rc = read_text(&d, w->picks.len > 0 ? 0 : -1);
  if (secrets)
    pai_wipe(w->bytes.data, w->bytes.cap);
  return rc < 0 ? push_failure(&d) : push_results(&d, secrets);
}
