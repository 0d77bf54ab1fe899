-- Commands on the nodes, over ssh: known hosts only, no question is asked.
local M = {}

---What ssh needs of the environment.
---@param inp table
---@return table<string, string>
function M.env(inp)
  return { SSH_AUTH_SOCK = inp.ssh_agent }
end

---@param inp table
---@param node cluster-onprem.Node
---@param command string for the node's shell
---@return string[] argv
function M.argv(inp, node, command)
  local argv = { "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes" }
  for _, word in ipairs({ "-o", "ConnectTimeout=15" }) do
    argv[#argv + 1] = word
  end
  if inp.ssh_config then
    argv[#argv + 1] = "-F"
    argv[#argv + 1] = inp.ssh_config
  end
  return table.move({ "--", node.host, command }, 1, 3, #argv + 1, argv)
end

---Asks a node with a command that only looks.
---@param ctx pai.ctx
---@param inp table
---@param node cluster-onprem.Node
---@param command string
---@return pai.exec.result
function M.ask(ctx, inp, node, command)
  return ctx.query(M.argv(inp, node, command), {
    accept = "any",
    env = M.env(inp),
    timeout = "60s",
  })
end

---The last line of what ssh or the command complained of; ssh ends its own with a carriage return.
---@param r pai.exec.result
---@return string?
function M.said(r)
  return r.stderr:match("([^\r\n]+)%s*$")
end

return M
