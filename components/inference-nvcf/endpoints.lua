-- Which functions are meant: those of the models' URL inputs, and further ones by id or URL.
local M = {}

---Models with an input of their own. `model` is what a chat endpoint is asked for (the models'
---pages at build.nvidia.com); a video model has no request that is small.
M.MODELS = {
  { input = "llama31_8b", task = "chat", model = "meta/llama-3.1-8b-instruct" },
  { input = "qwen25_14b", task = "chat", model = "Qwen/Qwen2.5-14B-Instruct" },
  { input = "qwen3_vl_30b", task = "chat", model = "Qwen/Qwen3-VL-30B-A3B-Instruct" },
  { input = "cosmos_predict1", task = "video" },
  { input = "cosmos_transfer25", task = "video" },
}

local HEX <const> = "%x"
local ID <const> = table.concat({
  HEX:rep(8),
  HEX:rep(4),
  HEX:rep(4),
  HEX:rep(4),
  HEX:rep(12),
}, "%-")

---@class inference_nvcf.Function
---@field id string? nil when the value names none
---@field version string?
---@field value string as it was given
---@field from string the input
---@field task "chat"|"video"|nil
---@field model string?
---@field problem string? why the value is of no use

---Reads an id or a URL.
---@param value string
---@return string? id
---@return string? version_or_problem
function M.read(value)
  local id = value:match("^" .. ID .. "$")
  if id then
    return id:lower()
  end
  local path = value:match("^https://api%.nvcf%.nvidia%.com(/.*)$")
    or value:match("^http://127%.0%.0%.1:%d+(/.*)$")
  if not path then
    return nil, "it is neither an id nor a URL of api.nvcf.nvidia.com"
  elseif path:find("^/v2/nvc/") then
    return nil, "the path begins with /v2/nvc/; the API's is /v2/nvcf/"
  end
  local rest = path:match("^/v2/nvcf/pexec/functions/(.*)$")
    or path:match("^/v2/nvcf/functions/(.*)$")
  id = rest and rest:match("^" .. ID)
  if not id then
    return nil, "it names no function: /v2/nvcf/pexec/functions/ID"
  end
  return id:lower(), rest:match("/versions/(" .. ID .. ")$")
end

---The functions that are meant, each once.
---@param inp table
---@return inference_nvcf.Function[]
function M.wanted(inp)
  local list, seen = {}, {}
  local function add(value, from, model)
    local id, more = M.read(value)
    local entry = { id = id, value = value, from = from, task = model.task, model = model.model }
    if id then
      entry.version = more
    else
      entry.problem = more
    end
    if not (id and seen[id]) then
      list[#list + 1] = entry
      seen[id or value] = true
    end
  end
  for _, model in ipairs(M.MODELS) do
    local value = inp[model.input]
    if value and value ~= "" then
      add(value, model.input, model)
    end
  end
  for _, value in ipairs(inp.functions or {}) do
    add(value, "functions", {})
  end
  return list
end

---The API's origin, if the key may go there.
---@param inp table
---@return string? origin
---@return string? problem
function M.origin(inp)
  local api = inp.api:gsub("/+$", "")
  if api == "https://api.nvcf.nvidia.com" or api:find("^http://127%.0%.0%.1:%d+$") then
    return api
  end
  return nil, "api must be https://api.nvcf.nvidia.com, or http://127.0.0.1:PORT"
end

---The key, by either of its names.
---@param ctx pai.ctx
---@return pai.secret.handle?
function M.key(ctx)
  return ctx.secret("ngc") or ctx.secret("nvcf")
end

return M
