/* Finds pai's own Lua modules: bytecode made at build, unless the source is newer or gone. */
#ifndef PAI_LOADER_H
#define PAI_LOADER_H

#include "paths.h"
#include "task.h"

#include <lua.h>

// Puts the searcher for "pai" and "pai.*" behind package.preload. paths is borrowed for good.
PAI_LJMP void pai_loader_install(lua_State *L, const pai_paths *paths);

#endif
