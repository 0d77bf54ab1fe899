/* WebSocket connections without memory, against a server in a child process. */
#include "mask.h"
#include "nomem_run.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_pai_ws(lua_State *L);

static char url[64];

static void say(int fd, const char *text, size_t len) {
  if (send(fd, text, len, MSG_NOSIGNAL) < 0)
    return; // the client has gone: the next one comes
}

// One connection: the handshake, two messages and a Close; then whatever the client still says.
static void serve(int fd) {
  char request[4096], digest[EVP_MAX_MD_SIZE], accepted[64], head[256];
  ssize_t n = read(fd, request, sizeof request - 1);
  request[n > 0 ? n : 0] = '\0';
  char *key = strstr(request, "Sec-WebSocket-Key: ");
  if (key != NULL && strlen(key) > 43) {
    char text[64];
    unsigned len = 0;
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    EVP_Digest(text, strlen(text), (unsigned char *)digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accepted, (unsigned char *)digest, (int)len);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n",
                        accepted);
    say(fd, head, (size_t)size);
    say(fd, "\x81\x02hi\x89\x01p\x82\x03yes", 12);
    say(fd, "\x88\x02\x03\xe8", 4);
    shutdown(fd, SHUT_WR);
    while (read(fd, request, sizeof request) > 0)
      continue;
  }
  close(fd);
}

static pid_t start_server(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 50) < 0 ||
      getsockname(fd, (struct sockaddr *)&a, &size) < 0)
    return -1;
  snprintf(url, sizeof url, "ws://127.0.0.1:%d/x?y=z", ntohs(a.sin_port));
  pid_t pid = fork();
  if (pid != 0) {
    close(fd);
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    int client = accept(fd, NULL, NULL);
    struct timeval soon = {.tv_sec = 60};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    if (client >= 0)
      serve(client);
  }
}

static void no_memory(void) {
  static const char text[] =
      "local c <close> = assert(m.connect({ url = dir, timeout = 60000, ping = 20000,\n"
      "  headers = { ['X-One'] = 'v' }, bearer = 'token', protocols = { 'a', 'b' } }))\n"
      "local one, kind = c:receive(60000)\n"
      "c:send('some text', 'text', 60000)\n"
      "local two = c:receive(60000)\n"
      "local none, e = c:receive(60000)\n"
      "c:close(1000, 'done', 20000)\n"
      "m.connect({ url = 'ws://127.0.0.1:1/', timeout = 500 })\n"
      "return one == 'hi' and kind == 'text' and two == 'yes' and e.code == 'ECLOSED'";
  nomem_each(&(nomem_test){"pai.ws", luaopen_pai_ws, url, text}, 250, 256);
}

int main(void) {
  pid_t server = start_server();
  if (server < 0)
    return 1;
  RUN(no_memory);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  pai_mask_set_free(pai_mask_global());
  return finish();
}
