/* URLs, origins and header lists; requests without memory against a server in a child process. */
#include "http.h"
#include "mask.h"
#include "nomem_run.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_pai_http(lua_State *L);

static char url[64];

static void origins(void) {
  CHECK(pai_http_same_origin("http://a/x", "http://A:80/y?z"));
  CHECK(pai_http_same_origin("https://a", "https://u:p@a:443/"));
  CHECK(!pai_http_same_origin("http://a", "https://a"));
  CHECK(!pai_http_same_origin("http://a", "http://a:81"));
  CHECK(!pai_http_same_origin("http://a", "http://a.b"));
  CHECK(!pai_http_same_origin("http://a", "http://a@b"));
  CHECK(!pai_http_same_origin("nonsense://", "nonsense://"));
  static const char *const near[] = {"http://localhost:1/", "http://127.9.9.9", "https://[::1]:2/"};
  bool loopback;
  for (int i = 0; i < 3; i++)
    CHECK(pai_http_check_url(near[i], &loopback, NULL) == 0 && loopback);
  CHECK(pai_http_check_url("https://localhost.example/", &loopback, NULL) == 0 && !loopback);
  CHECK(pai_http_check_url("http://127.0.0.1.example/", &loopback, NULL) == 0 && !loopback);
  CHECK(pai_http_check_url("http://10.127.0.1/", &loopback, NULL) == 0 && !loopback);
  CHECK(pai_http_check_url("http://LOCALHOST:8080/a?b=c%20d", &loopback, NULL) == 0 && loopback);
  CHECK(pai_http_check_url("http://localhost@example.com/", &loopback, NULL) == 0 && !loopback);
  CHECK(pai_http_check_url("http://0x7f.1/", &loopback, NULL) == 0 && loopback);
  CHECK(pai_http_check_url("http://a:65535/", &loopback, NULL) == 0);
  CHECK(pai_http_check_url("http://a:65536/", &loopback, NULL) == PAI_E_ARG);
  CHECK(pai_http_check_url("http://a:99999999999999999999/", &loopback, NULL) == PAI_E_ARG);
  CHECK(pai_http_check_url("http://a b/", &loopback, NULL) == PAI_E_ARG);
  CHECK(pai_http_check_url("file:///etc/passwd", &loopback, NULL) == PAI_E_ARG);
  CHECK(pai_http_check_url("http://a\n/", &loopback, NULL) == PAI_E_ARG);
}

static void shown(void) {
  static const char *const cases[][2] = {
      {"http://user:pass@h:1/p?token=x#y", "http://***@h:1/p"},
      {"http://user@h/", "http://***@h/"},
      {"https://h/a/b", "https://h/a/b"},
      {"not a url", "(not a URL)"},
      {"http://u:p@/", "(not a URL)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char out[80];
    pai_http_show_url(cases[i][0], out, sizeof out);
    CHECK(strcmp(out, cases[i][1]) == 0);
  }
  char tiny[8];
  pai_http_show_url("http://h/a/b/c", tiny, sizeof tiny);
  CHECK(strcmp(tiny, "http://") == 0);
  char *clean = pai_http_without_user("http://u:p@h/x?q");
  CHECK(clean != NULL && strcmp(clean, "http://h/x?q") == 0);
  pai_free(clean);
}

static const char *find(const struct curl_slist *list, const char *name) {
  for (; list != NULL; list = list->next)
    if (strncmp(list->data, name, strlen(name)) == 0)
      return list->data;
  return NULL;
}

static void lists(void) {
  pai_http_header headers[] = {{"Authorization", "Bearer ", "t", 1, true},
                               {"Accept", "", "a/b", 3, false},
                               {"Content-Type", "", "x/y", 3, false},
                               {"X-Empty", "", "", 0, false},
                               {"User-Agent", "", "hidden", 6, true}};
  pai_http_options o = {.headers = headers, .header_count = 5};
  struct curl_slist *list;
  CHECK(pai_http_make_list(&o, true, true, &list) == 0);
  CHECK(strcmp(find(list, "Authorization"), "Authorization: Bearer t") == 0);
  CHECK(strcmp(find(list, "X-Empty"), "X-Empty;") == 0);
  CHECK(strcmp(find(list, "Expect"), "Expect:") == 0);
  CHECK(strcmp(find(list, "User-Agent"), "User-Agent: hidden") == 0);
  pai_http_free_list(list);
  CHECK(pai_http_make_list(&o, false, false, &list) == 0);
  CHECK(find(list, "Authorization") == NULL && find(list, "X-Empty") == NULL);
  CHECK(strcmp(find(list, "Accept"), "Accept: a/b") == 0);
  CHECK(strcmp(find(list, "User-Agent"), "User-Agent: pai") == 0); // a secret stays at home
  CHECK(find(list, "Content-Type") == NULL);                       // there is no body
  CHECK(find(list, "Expect") == NULL);
  pai_http_free_list(list);
  o = (pai_http_options){.method = "POST"}; // libcurl would call it a form
  CHECK(pai_http_make_list(&o, true, false, &list) == 0);
  CHECK(strcmp(find(list, "Content-Type"), "Content-Type:") == 0);
  CHECK(strcmp(find(list, "Expect"), "Expect:") == 0);
  pai_http_free_list(list);
  pai_http_free_list(NULL);
}

static void answer(int fd) {
  char request[4096];
  static const char text[] = "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n"
                             "Content-Length: 8\r\n\r\n{\"a\":12}";
  if (read(fd, request, sizeof request) > 0 && write(fd, text, sizeof text - 1) < 0)
    _exit(1);
  close(fd);
}

static pid_t start_server(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 50) < 0 ||
      getsockname(fd, (struct sockaddr *)&a, &size) < 0)
    return -1;
  snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
  pid_t pid = fork();
  if (pid != 0) {
    close(fd);
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    int client = accept(fd, NULL, NULL);
    if (client >= 0)
      answer(client);
  }
}

static void no_memory(void) {
  static const char text[] =
      "local opts = { url = dir, timeout = 1000, query = { a = { '1', 'x y' }, b = true }, json = "
      "{ 1, 2 },\n"
      "  headers = { ['X-One'] = 'v', ['X-Two'] = { 'a', 'b' } }, bearer = 'token' }\n"
      "local r = assert(m.request(opts)) assert(r.json().a == 12)\n"
      "local got = ''\n"
      "assert(m.request({ url = dir, timeout = 1000, on_data = function(s) got = got .. s end }))\n"
      "m.request({ url = 'http://127.0.0.1:1/', timeout = 500 })\n"
      "local t = task.spawn(m.request, { url = dir, timeout = 1000 }) local two = t:wait('5s')\n"
      "return r.headers['x-a'] == '1, 2' and got == '{\"a\":12}' and two.status == 200";
  nomem_each(&(nomem_test){"pai.http", luaopen_pai_http, url, text}, 330, 192);
}

int main(void) {
  pid_t server = start_server();
  if (server < 0)
    return 1;
  RUN(origins);
  RUN(shown);
  RUN(lists);
  RUN(no_memory);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  pai_mask_set_free(pai_mask_global());
  return finish();
}
