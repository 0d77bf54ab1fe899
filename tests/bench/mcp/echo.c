/* The least that an MCP server could do: each request of a line is answered with a fixed line. What
 * it takes is what the client, the pipes and this machine cost. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char line[65536];

int main(void) {
  static const char answer[] = "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{\"content\":[{\"text\":"
                               "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"type\":\"text\"}]}}\n";
  while (fgets(line, sizeof line, stdin) != NULL)
    if (strstr(line, "\"id\"") != NULL && write(1, answer, sizeof answer - 1) < 0)
      return 1;
  return 0;
}
