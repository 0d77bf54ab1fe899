/* Bindings with every allocation failing once: they raise or return the error, lose no memory (the
 * sanitizers and valgrind look) and no descriptor, and work afterwards. */
#include "alloc.h"
#include "harness.h"
#include "loop.h"
#include "mask.h"
#include "registry.h"
#include "task.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILURES 250

static char dir[] = "/tmp/pai-nomem-XXXXXX";

static int open_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  while (d != NULL && readdir(d) != NULL)
    n++;
  if (d != NULL)
    closedir(d);
  return n;
}

static lua_State *new_state(pai_lua_heap *heap) {
  lua_State *L = lua_newstate(pai_lua_alloc, heap);
  luaL_openlibs(L);
  pai_registry_install(L);
  pai_task_set_main_state(L);
  lua_pushstring(L, dir);
  lua_setglobal(L, "dir");
  return L;
}

// Runs the text with modules loaded already; 1: it returned true, 0: it failed in an orderly way.
static int run(lua_State *L, const char *modules, const char *text, size_t fail_at) {
  if (luaL_dostring(L, modules) != LUA_OK || luaL_loadstring(L, text) != LUA_OK) {
    printf("# %s\n", lua_tostring(L, -1));
    return -1;
  }
  pai_alloc_fail_at(fail_at);
  int status = lua_pcall(L, 0, 1, 0);
  pai_alloc_fail_at(0);
  if (status == LUA_ERRRUN && fail_at == 0)
    printf("# %s\n", luaL_tolstring(L, -1, NULL));
  return status == LUA_OK && lua_toboolean(L, -1);
}

static void fail_each(const char *modules, const char *text) {
  int before = open_descriptors(), failed = 0;
  for (size_t n = 0; n < FAILURES; n++) {
    pai_lua_heap heap = {0};
    lua_State *L = new_state(&heap);
    int rc = run(L, modules, text, n);
    CHECK(rc >= 0 && (n != 0 || rc == 1));
    failed += rc == 0;
    lua_close(L);
    CHECK(heap.used == 0);
  }
  CHECK(failed > 5);
  CHECK(open_descriptors() == before);
}

static void json(void) {
  fail_each("json = require 'pai.json'",
            "local text = '{\"a\":[1,2,{\"b\":\"\\\\u00e9 escaped\"}],\"c\":null}'\n"
            "local v = assert(json.decode(text, { pick = { 'a[]' } }))\n"
            "for i = 1, 30 do v['key' .. i] = { i, i / 3, 'some text' } end\n"
            "local back = assert(json.decode(json.encode(v, { pretty = true })))\n"
            "return back.key30[1] == 30");
}

static void fs(void) {
  fail_each("fs = require 'pai.fs'",
            "assert(fs.mkdir(dir .. '/a/b', { parents = true }))\n"
            "assert(fs.write(dir .. '/a/f', ('x'):rep(1000)))\n"
            "assert(fs.copy(dir .. '/a/f', dir .. '/a/b/g'))\n"
            "assert(fs.read(dir .. '/a/f')) assert(fs.list(dir)) assert(fs.glob(dir .. '/a/*'))\n"
            "local l <close> = assert(fs.lock(dir .. '/lock', { wait = '1s' }))\n"
            "assert(fs.stat(dir .. '/a')) assert(fs.process(1)) fs.read(dir .. '/none')\n"
            "return #assert(fs.walk(dir)) >= 2");
}

static void mask(void) {
  fail_each("mask = require 'pai.mask'",
            "local m = mask.new() local ok, err = m:add('a-value-to-mask')\n"
            "if not ok then error(err) end\n"
            "local out = m:feed('see a-value') .. m:feed('-to-mask') .. m:finish()\n"
            "assert(not out:find('value')) return out == 'see ***'");
}

static void secret(void) {
  fail_each("secret = require 'pai.secret' fs = require 'pai.fs' mask = require 'pai.mask'\n"
            "assert(fs.write(dir .. '/env', 'A=the-first-value\\nB=\"the second\"\\nC=x\\n'))\n"
            "assert(fs.write(dir .. '/one', 'the-value-in-a-file\\n'))\n"
            "assert(fs.write(dir .. '/doc', '{\"a\": {\"b\": \"the\\\\u0020value\"}}'))",
            "local env, warnings = secret.from_dotenv(dir .. '/env') assert(env, warnings)\n"
            "local one = assert(secret.from_file(dir .. '/one'))\n"
            "local new = assert(secret.generate(16))\n"
            "local doc = assert(secret.from_document(dir .. '/doc', {json = {'a', 'b'}}))\n"
            "local whole = assert(secret.from_file(dir .. '/doc'))\n"
            "local part = assert(secret.pick(whole, {json = {'a', 'b'}})):copy()\n"
            "assert(secret.field(dir .. '/doc', {json = {'a', 'b'}}) == 'the value')\n"
            "assert(part:equals(doc) and not part:doubt())\n"
            "assert(secret.save_dotenv(dir .. '/saved', 'B', part))\n"
            "assert(not mask.text('the-value-in-a-file'):find('value'))\n"
            "return env.A:len() == 15 and one:equals(one) and #warnings == 1 and new:len() == 32");
}

static void out(void) {
  fail_each("out = require 'pai.out' fs = require 'pai.fs'\n"
            "fs.write(dir .. '/log', '')",
            "local ch <close> = assert(out.open(dir .. '/log'))\n"
            "assert(ch:write('some text ', 12, '\\n')) assert(ch:sync())\n"
            "out.open(dir .. '/none/log')\n"
            "return fs.read(dir .. '/log') == 'some text 12\\n'");
}

int main(void) {
  pai_error err;
  if (mkdtemp(dir) == NULL || pai_loop_init(&err) < 0)
    return 1;
  RUN(json);
  RUN(fs);
  RUN(mask);
  RUN(secret);
  RUN(out);
  pai_lua_heap heap = {0};
  lua_State *L = new_state(&heap);
  CHECK(run(L, "fs = require 'pai.fs'", "return fs.remove(dir, { recursive = true })", 0) == 1);
  lua_close(L);
  pai_mask_set_free(pai_mask_global());
  return finish();
}
