-- Asks Python for what its own libraries make of an input: a script reads JSON from its standard
-- input and writes JSON. The libraries are Debian's python3-jinja2 and python3-yaml.
local exec = require("pai.exec")
local json = require("pai.json")

local M = {}

---@param script string
---@param input any
---@return any
function M.ask(script, input)
  local r = assert(exec.run({ "/usr/bin/python3", "-W", "ignore", "-c", script }, {
    stdin = json.encode(input),
    max_output = 64 * 1024 * 1024,
    raw = true,
    timeout = "120s",
  }))
  return assert(json.decode(r.stdout))
end

---Data files of the public cases: the newest where the project has them beside it, else our copy.
---@param name string
---@return string[] lines
function M.case_lines(name)
  local fs = require("pai.fs")
  for _, dir in ipairs({ os.getenv("PAI_SPEC_CASES") or "", "../shared/data/osmo-spec-cases" }) do
    local text = dir ~= "" and fs.read(fs.join(dir, name))
    if text then
      return M.lines(text)
    end
  end
  return M.lines(assert(fs.read("tests/data/osmo-spec-cases/" .. name)))
end

function M.lines(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

return M
