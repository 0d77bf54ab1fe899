/* What a request of pai.http returns. */
#ifndef PAI_L_HTTP_ANSWER_H
#define PAI_L_HTTP_ANSWER_H

#include "http.h"
#include "task.h"

#include <lua.h>

PAI_LJMP void pai_l_http_answer_type(lua_State *L); // once a state
// Pushes the answer of a request that is done, or nil and the error; returns how many.
PAI_LJMP int pai_l_http_push_answer(lua_State *L, const pai_http *h);

#endif
