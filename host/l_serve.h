/* What l_serve.c needs besides tasks: a request as a table (l_serve_request.c), and the answer that
 * a table stands for (l_serve_answer.c). */
#ifndef PAI_L_SERVE_H
#define PAI_L_SERVE_H

#include "serve.h"
#include "task.h"

#include <lua.h>
#include <stdbool.h>

// Pushes the request {method, path, query, headers, body}; the body's memory is given back.
PAI_LJMP void pai_l_serve_push_request(lua_State *L, pai_exchange *x);

// Gives the answer at idx. Returns whether a stream follows; then its function is pushed.
PAI_LJMP bool pai_l_serve_answer(lua_State *L, pai_exchange *x, int idx);
// Answers with a WebSocket; then its function and the connection are pushed. False: refused.
PAI_LJMP bool pai_l_serve_answer_websocket(lua_State *L, pai_exchange *x, int idx);
PAI_LJMP void pai_l_serve_answer_type(lua_State *L); // once a state

#endif
