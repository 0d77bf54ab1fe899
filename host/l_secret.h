/* What the two files of pai.secret's binding share. */
#ifndef PAI_L_SECRET_H
#define PAI_L_SECRET_H

#include "secret.h"

#include <lua.h>

PAI_LJMP const pai_secret *pai_l_secret_check(lua_State *L, int arg); // raises unless it is one
PAI_LJMP const char *pai_l_secret_path(lua_State *L);                 // argument 1
// The handle is on top of the stack: returns it, and a warning if its value is not masked.
PAI_LJMP int pai_l_secret_warned(lua_State *L);
// Adds the functions of l_secret_source.c to the table on top.
PAI_LJMP void pai_l_secret_sources(lua_State *L);

#endif
