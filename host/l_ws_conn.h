/* A WebSocket connection as Lua sees it, of a client or of a server: receive, send, close. Whoever
 * waits on it is in one queue and looks again at every change. */
#ifndef PAI_L_WS_CONN_H
#define PAI_L_WS_CONN_H

#include "l_wait.h"
#include "task.h"
#include "ws_conn.h"

#include <lua.h>
#include <stdbool.h>

typedef struct pai_l_ws pai_l_ws;
struct pai_l_ws {  // the head of the userdata
  pai_ws_conn *ws; // within it
  pai_waitq waiters;
  bool cancel_ends;         // the connection ends with the task that waits on it
  void (*end)(pai_l_ws *c); // frees ws; NULL: done, or not started
  void (*explain)(lua_State *L, const pai_ws_conn *ws); // more for the error on top; may be NULL
};

enum { PAI_L_WS_MESSAGE_MAX = 16 << 20, PAI_L_WS_CLOSE_MS = 5000 };

PAI_LJMP void pai_l_ws_types(lua_State *L);
// Option max_message of the table at idx.
PAI_LJMP size_t pai_l_ws_opt_max(lua_State *L, int idx);
// Pushes a userdata of this size, all zero but for ws and whom it wakes.
PAI_LJMP void *pai_l_ws_push(lua_State *L, size_t size, size_t ws_offset);
// What a connection that is over says: nil and an error.
PAI_LJMP int pai_l_ws_push_over(lua_State *L, const pai_l_ws *c);
// Waits until look, which pushes the results, says how many there are; -1: not yet. The connection
// is at index 1; what is above it is dropped.
typedef int (*pai_l_ws_look)(lua_State *L, pai_l_ws *c);
PAI_LJMP int pai_l_ws_wait(lua_State *L, pai_l_ws_look look, int64_t timeout_ms);
// For other waits: joins the queue with the wait at idx (pai_l_wait_push).
PAI_LJMP pai_op *pai_l_ws_join(lua_State *L, pai_l_ws *c, int idx);

#endif
