-- pai mcp
local args = require("pai.cli.args")
local err = require("pai.err")

local M = {
  name = "mcp",
  summary = "serve recipes as tools to an AI agent (Model Context Protocol)",
  usage = "",
  doc = "Over standard input and output, as an agent starts it; with --http over Streamable HTTP "
    .. "on 127.0.0.1. Every recipe is a tool, with a plan beside it; docs/agents.md says how to "
    .. "connect. The server ends with its input; runs that were detached go on.",
  options = {
    { name = "recipes", arg = "NAMES", doc = "serve these only: names of recipes or components" },
    { name = "read-only", doc = "plans and observing recipes only" },
    { name = "allow-dirty", doc = "run tracked recipes with changes that are not committed" },
    { name = "http", doc = "over HTTP, on loopback" },
    { name = "port", arg = "N", doc = "with --http; any free one if not given" },
    {
      name = "token",
      arg = "SOURCE",
      doc = "with --http: callers must have this secret; env:NAME or file:PATH",
    },
  },
  examples = {
    { "pai mcp", "what an agent's configuration starts" },
    { "pai mcp --read-only", "look, but change nothing" },
    { "pai mcp --recipes vda,hello", "only these recipes" },
    { "pai mcp --http --port 8808 --token env:PAI_MCP_TOKEN", "for several clients" },
  },
}

local function token_of(source)
  if not source then
    return nil
  elseif not source:find("^env:.") and not source:find("^file:.") then
    err.raise("EUSAGE", "--token takes env:NAME or file:PATH, never the token itself")
  end
  local handle, e = require("pai.recipe.inputs").open(source)
  if not handle then
    err.raise("EUSAGE", ("--token %s: %s"):format(source, e and e.message or "it is not set"))
  end
  return handle
end

local function names_of(list)
  if not list then
    return nil
  end
  local names = {}
  for name in list:gmatch("[^,%s]+") do
    names[#names + 1] = name
  end
  if #names == 0 then
    err.raise("EUSAGE", "--recipes needs at least one name")
  end
  return names
end

-- A name that is nothing would leave an agent without the tools that it was meant to have.
local function check_names(names)
  local entries, components = require("pai.recipe.index").all()
  local known, there = {}, {}
  for _, list in ipairs({ entries, components }) do
    for _, entry in ipairs(list) do
      known[#known + 1], there[entry.name] = entry.name, true
    end
  end
  for _, name in ipairs(names) do
    if not there[name] then
      local hint = require("pai.text").did_you_mean(name, known)
      err.raise("EUSAGE", ("--recipes: no recipe or component '%s'%s"):format(name, hint), {
        hint = "pai list shows what there is",
      })
    end
  end
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  if (opts.port or opts.token) and not opts.http then
    err.raise("EUSAGE", "--port and --token go with --http")
  end
  local port, token, names = args.port(opts), token_of(opts.token), names_of(opts.recipes)
  check_names(names or {})
  require("pai.secrets.known").open()
  local server = require("pai.mcp").new({
    recipes = names,
    read_only = opts.read_only,
    allow_dirty = opts.allow_dirty,
  })
  if not opts.http then
    return require("pai.mcp.stdio").serve(server)
  end
  return require("pai.mcp.http").serve(server, {
    port = port,
    token = token,
    ready = function(url)
      local out = require("pai.out")
      out.stdout((opts.json and require("pai.json").encode({ url = url }) or url) .. "\n")
      out.flush(1)
    end,
  })
end

return M
