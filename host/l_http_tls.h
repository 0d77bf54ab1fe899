/* Options ca_file, tls and connect_to of pai.http and pai.ws. */
#ifndef PAI_L_HTTP_TLS_H
#define PAI_L_HTTP_TLS_H

#include "http_tls.h"
#include "task.h"

#include <lua.h>

// From the table at arg. What is borrowed is added to the list at keep. The stack stays as it is.
PAI_LJMP void pai_l_http_tls(lua_State *L, int arg, int keep, pai_http_tls *out);

#endif
