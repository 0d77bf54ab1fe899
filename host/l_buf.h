/* A pai_buf that Lua owns, for bindings that collect bytes between calls that may raise. */
#ifndef PAI_L_BUF_H
#define PAI_L_BUF_H

#include "buf.h"
#include "task.h"

#include <lua.h>

// Pushes a userdata that frees the buffer. Borrowed until the userdata is collected.
PAI_LJMP pai_buf *pai_l_new_buf(lua_State *L, size_t max);
// Pushes the bytes as a string and gives the memory back.
PAI_LJMP void pai_l_push_buf(lua_State *L, pai_buf *b);

#endif
