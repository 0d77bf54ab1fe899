/* Host and Origin, sockets; a server without memory that a child process asks again and again. */
#include "mask.h"
#include "nomem_run.h"
#include "serve.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int luaopen_pai_serve(lua_State *L);

static char dir[] = "/tmp/pai-serve-XXXXXX";
static char path[64];

static void names(void) {
  static const char *const hosts[] = {"box.example", NULL};
  static const char *const origins[] = {"https://ui.example", NULL};
  CHECK(pai_serve_host_fits("localhost", NULL) && pai_serve_host_fits("127.0.0.1:5", NULL));
  CHECK(pai_serve_host_fits("[::1]", NULL) && pai_serve_host_fits("[::1]:9", NULL));
  CHECK(!pai_serve_host_fits("", NULL) && !pai_serve_host_fits("localhost:", NULL));
  CHECK(!pai_serve_host_fits("localhost:1x", NULL) && !pai_serve_host_fits("box.example", NULL));
  CHECK(pai_serve_host_fits("BOX.example:1", hosts) &&
        !pai_serve_host_fits("x.box.example", hosts));
  CHECK(pai_serve_origin_fits("http://localhost:8", 8, hosts, origins));
  CHECK(!pai_serve_origin_fits("http://localhost:9", 8, hosts, origins));
  CHECK(pai_serve_origin_fits("https://ui.example", 8, hosts, origins));
  CHECK(!pai_serve_origin_fits("https://localhost:8", 8, hosts, origins));
  CHECK(!pai_serve_origin_fits("null", 8, hosts, origins));
}

static void sockets(void) {
  pai_error err;
  int fd, other;
  CHECK(pai_serve_listen_unix(path, &fd, &err) == 0);
  struct stat st;
  CHECK(lstat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
  CHECK(pai_serve_listen_unix(path, &other, &err) < 0 && other == -1);
  close(fd);
  CHECK(pai_serve_listen_unix(path, &fd, &err) == 0); // nobody listens any more
  close(fd);
  CHECK(unlink(path) == 0);
  CHECK(pai_serve_listen_tcp("127.0.0.1", 0, false, &fd, &err) == 0 && pai_serve_port_of(fd) > 0);
  close(fd);
  CHECK(pai_serve_listen_tcp("0.0.0.0", 0, false, &fd, &err) == PAI_E_DENIED);
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(pai_serve_peer_is_us(pair[0]) && !pai_serve_is_gone(pair[0]));
  close(pair[1]);
  CHECK(pai_serve_is_gone(pair[0]));
  close(pair[0]);
}

typedef struct text {
  const char *data;
  size_t len;
} text;

static void ask(text request) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  memcpy(a.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  char answer[4096];
  struct timeval wait = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && write(fd, request.data, request.len) > 0)
    while (read(fd, answer, sizeof answer) > 0)
      continue;
  close(fd);
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static pid_t start_client(text request) {
  pid_t pid = fork();
  if (pid != 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  for (;;)
    ask(request);
}

static void end_client(pid_t client) {
  kill(client, SIGKILL);
  waitpid(client, NULL, 0);
}

static void no_memory(void) {
  static const char request[] = "POST /p%20q?a=1&a=2 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n"
                                "Connection: close\r\nContent-Length: 4\r\n\r\nbody";
  static const char lua[] =
      "local seen, whole = 0, nil\n"
      "local srv = assert(m.listen({ unix = dir, handler = function(req)\n"
      "  seen = seen + 1\n"
      "  whole = req.path == '/p q' and #req.query.a == 2 and req.body == 'body'\n"
      "    and req.headers['x-a'] == '1, 2'\n"
      "  if seen % 3 == 0 then error('fails') end\n"
      "  if seen % 3 == 1 then return { json = { 1 }, headers = { A = { 'b', 'c' } } } end\n"
      "  return { stream = function(w) for i = 1, 5 do w:write('piece') end end }\n"
      "end }))\n"
      "for _ = 1, 100 do if seen >= 3 then break end task.sleep(2) end\n"
      "srv:close() return seen >= 3 and whole";
  pid_t client = start_client((text){request, sizeof request - 1});
  CHECK(client > 0);
  nomem_each(&(nomem_test){"pai.serve", luaopen_pai_serve, path, lua}, 160, 256);
  end_client(client);
}

// A handshake, a text in two frames, and a Close.
static void no_memory_websocket(void) {
  static const char request[] =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
      "Sec-WebSocket-Protocol: p\r\n\r\n"
      "\x01\x81\0\0\0\0h\x80\x81\0\0\0\0i\x88\x82\0\0\0\0\x03\xe8";
  static const char lua[] = "local seen, whole = 0, nil\n"
                            "local srv = assert(m.listen({ unix = dir, handler = function()\n"
                            "  return { protocol = 'p', websocket = function(c)\n"
                            "    local data, kind = c:receive()\n"
                            "    seen = seen + 1\n"
                            "    whole = data == 'hi' and kind == 'text' and c:protocol() == 'p'\n"
                            "    if seen % 2 == 0 then error('fails') end\n"
                            "    c:send('answer')\n"
                            "  end } end }))\n"
                            "for _ = 1, 100 do if seen >= 2 then break end task.sleep(2) end\n"
                            "srv:close() return seen >= 2 and whole";
  pid_t client = start_client((text){request, sizeof request - 1});
  CHECK(client > 0);
  nomem_each(&(nomem_test){"pai.serve", luaopen_pai_serve, path, lua}, 160, 256);
  end_client(client);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  if (mkdtemp(dir) == NULL)
    return 1;
  snprintf(path, sizeof path, "%s/s", dir);
  RUN(names);
  RUN(sockets);
  RUN(no_memory);
  RUN(no_memory_websocket);
  unlink(path);
  rmdir(dir);
  pai_mask_set_free(pai_mask_global());
  return finish();
}
