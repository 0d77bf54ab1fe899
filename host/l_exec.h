/* The arguments of pai.exec's functions: private to l_exec.c and l_exec_args.c. */
#ifndef PAI_L_EXEC_H
#define PAI_L_EXEC_H

#include "exec.h"
#include "task.h"

#include <lua.h>

typedef struct exec_args { // a userdata; its __gc closes and wipes
  pai_exec_spec spec;      // points into what follows and into Lua strings that uv 1 keeps
  char **argv;             // owned
  char **envp;             // owned
  pai_buf env;             // entries that are not ours by inheritance
  pai_secret_buf locked;   // the same when one of them is a secret
  int files[3];            // opened for the child, -1: none
  bool feed;               // option stdin is the text or the secret itself
} exec_args;

typedef enum exec_kind { EXEC_RUN, EXEC_START, EXEC_DETACH } exec_kind;

// Reads the argument vector at 1 and the options at 2 and pushes the userdata. Mistakes raise; NULL
// with nothing pushed when a file can't be opened.
PAI_LJMP exec_args *pai_l_exec_args(lua_State *L, exec_kind kind, pai_error *err);
void pai_l_exec_args_clear(exec_args *a);         // closes and wipes now; again is fine
PAI_LJMP void pai_l_exec_args_open(lua_State *L); // makes its metatable

#endif
