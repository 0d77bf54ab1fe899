/* The Lua side of a server's WebSockets; for l_serve.c. */
#ifndef PAI_L_SERVE_WS_H
#define PAI_L_SERVE_WS_H

#include "serve_ws.h"
#include "task.h"

#include <lua.h>

// Pushes a connection for the handshake of x, and makes its answer as the table at idx says
// (protocol, max_message, ping).
PAI_LJMP struct MHD_Response *pai_l_serve_ws_push(lua_State *L, pai_exchange *x, int idx,
                                                  const char *accept);
// The rest of the handler's task: waits until the connection on top is open, calls the function
// below it with it, says 1000 and waits for its end. Keeps the stack as it is.
PAI_LJMP int pai_l_serve_ws_run(lua_State *L);

#endif
