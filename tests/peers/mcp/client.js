// An official TypeScript client connects to a server as an agent would, lists everything and calls
// a few tools; prints what it saw as one JSON object.
//   node client.js v1|v2-legacy|v2-modern stdio COMMAND [ARG...]
//   node client.js v1|v2-legacy|v2-modern http URL
const which = process.argv[2];
const [kind, ...rest] = process.argv.slice(3);

function parts() {
  if (which === "v1") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
    const http = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const types = require("@modelcontextprotocol/sdk/types.js");
    return {
      Client,
      StdioClientTransport,
      StreamableHTTPClientTransport: http.StreamableHTTPClientTransport,
      elicit: types.ElicitRequestSchema,
    };
  }
  const v2 = require("@modelcontextprotocol/client");
  const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");
  return { ...v2, StdioClientTransport, elicit: "elicitation/create" };
}

async function main() {
  const { Client, StdioClientTransport, StreamableHTTPClientTransport, elicit } = parts();
  const options = { capabilities: { elicitation: {} } };
  if (which === "v2-modern") {
    options.versionNegotiation = { mode: { pin: "2026-07-28" } };
  }
  const client = new Client({ name: "spec", version: "1.0.0" }, options);
  const asked = [];
  client.setRequestHandler(elicit, async (request) => {
    asked.push(request.params.message);
    return { action: "accept", content: { name: "Ada" } };
  });
  const transport =
    kind === "http"
      ? new StreamableHTTPClientTransport(new URL(rest[0]))
      : new StdioClientTransport({
          command: rest[0],
          args: rest.slice(1),
          env: process.env,
          stderr: "inherit",
        });
  await client.connect(transport);
  const seen = { server: client.getServerVersion(), asked };
  seen.tools = (await client.listTools()).tools.map((t) => t.name);
  seen.prompts = (await client.listPrompts()).prompts.map((p) => p.name);
  seen.resources = (await client.listResources()).resources.map((r) => r.uri);
  seen.page = (await client.readResource({ uri: "pai://recipes/hello" })).contents[0].text;
  const progress = [];
  seen.run = await client.callTool(
    { name: "hello_run", arguments: { out: "greeting.txt" } },
    ...(which === "v1"
      ? [undefined, { onprogress: (p) => progress.push(p.progress) }]
      : [{ onprogress: (p) => progress.push(p.progress) }]),
  );
  seen.progress = progress;
  seen.plan = await client.callTool({
    name: "hello_plan",
    arguments: { name: "Eve", out: "greeting.txt" },
  });
  seen.refused = await client.callTool({ name: "hello_run", arguments: { nmae: "x" } });
  await client.close();
  process.stdout.write(JSON.stringify(seen) + "\n");
}

main().catch((error) => {
  process.stderr.write(String(error.stack || error) + "\n");
  process.exit(1);
});
