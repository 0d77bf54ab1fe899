/* The modules that are part of the executable. Those with a heavy library behind them are shared
 * objects under lib/pai/ and are found through package.cpath at first use. */
#ifndef PAI_REGISTRY_H
#define PAI_REGISTRY_H

#include <lua.h>

// Puts every built-in module into package.preload.
void pai_registry_install(lua_State *L);
// Replaces functions of the global table coroutine by ones that pass the host's suspends on.
void pai_coroutine_install(lua_State *L);

#endif
