-- Where on the host the folders of a task lie that it sees under /osmo.
local fs = require("pai.fs")

local M = {}

---Whether a path of a task's is one that the engine can see.
---@param path string as the task names it
---@return boolean
function M.visible(path)
  if ("/" .. path .. "/"):find("/../", 1, true) then
    return false
  end
  return (path .. "/"):find("^/osmo/data/output/") ~= nil
    or (path .. "/"):find("^/osmo/run/") ~= nil
end

---The place on the host of a path that is visible; what is relative lies in the output folder.
---@param t table task of a group
---@param path string
---@return string? path
function M.on_host(t, path)
  if path:sub(1, 1) ~= "/" then
    path = "/osmo/data/output/" .. path
  end
  if not M.visible(path) then
    return nil
  end
  local output = (path .. "/"):match("^/osmo/data/output/(.*)$")
  if output then
    return (fs.join(t.output, output):gsub("/+$", ""))
  end
  local run = (path .. "/"):match("^/osmo/run/(.*)$")
  return (fs.join(fs.dirname(t.workspace), run):gsub("/+$", ""))
end

return M
