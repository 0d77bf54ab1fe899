// The reference server of `make bench`: the official TypeScript SDK over stdio, with one tool.
const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
const { StdioServerTransport } = require("@modelcontextprotocol/sdk/server/stdio.js");
const { z } = require("zod");

const server = new McpServer({ name: "reference", version: "1.0.0" });
server.registerTool(
  "echo",
  { description: "Gives back its text", inputSchema: { text: z.string() } },
  async ({ text }) => ({ content: [{ type: "text", text }] }),
);
server.connect(new StdioServerTransport());
