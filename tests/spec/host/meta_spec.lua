-- lua/pai/meta against the running host: what is described exists, what exists is described.
local fs = require("pai.fs")

-- What recipes are given and nobody can require.
local no_module = { ctx = true }

-- Classes whose values are the host's own: the name of the metatable behind them.
local types = {
  ["pai.task.Task"] = "pai.task",
  ["pai.task.Event"] = "pai.task.event",
  ["pai.exec.Process"] = "pai.exec.proc",
  ["pai.sign.hasher"] = "pai.sign.hasher",
  ["pai.ws.Conn"] = "pai.ws.conn",
  ["pai.term.Raw"] = "pai.term.raw",
  ["pai.sock.Stream"] = "pai.sock",
}

local meta_dir = require("pai").root .. "/lua/pai/meta"

local function names(t)
  local out = {}
  for name in pairs(t) do
    out[#out + 1] = name
  end
  table.sort(out)
  return out
end

-- The parameters that the comments above each function name, and those of the function.
local function parameters(text)
  local found, described = {}, {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    local name = line:match("^%-%-%-@param (%S+)")
    local fn, list = line:match("^function ([%w_.:]+)%((.-)%)")
    if name then
      described[#described + 1] = name:gsub("%?$", "")
    elseif fn then
      found[fn] = { list = list, described = table.concat(described, ", ") }
    end
    if not line:match("^%-%-%-") then
      described = {}
    end
  end
  return found
end

-- The methods of a metatable of the host, also where __index is a function over their table.
local function methods(metatable)
  local index = assert(debug.getregistry()[metatable], metatable).__index
  if type(index) == "function" then
    index = select(2, debug.getupvalue(index, 1))
  end
  return names(index)
end

-- The methods described for each class: its comment, then the line `local NAME = {}`.
local function classes(text)
  local found = {}
  for block in text:gmatch("%-%-%-@class (.-\nlocal [%w_]+ = {})") do
    local class, name = block:match("^([%w_.]+)"), block:match("local ([%w_]+) = {}$")
    local list = {}
    for method in text:gmatch("\nfunction " .. name .. ":([%w_]+)%(") do
      list[#list + 1] = method
    end
    table.sort(list)
    found[class] = list
  end
  return found
end

describe("the description of", function()
  for _, file in ipairs(assert(fs.list(meta_dir))) do
    local name = file:match("^(.+)%.lua$")
    it("pai." .. name .. " is that of the module", function()
      local path = meta_dir .. "/" .. file
      local text = assert(fs.read(path))
      assert.matches("^%-%-%-@meta", text)
      local described = assert(loadfile(path))()
      for fn, p in pairs(parameters(text)) do
        assert.equal(p.list, p.described, fn)
      end
      if no_module[name] then
        return
      end
      local live = require("pai." .. name)
      -- Fields that are no functions are described with @field on the module's class.
      local class = text:match("%-%-%-@class pai%." .. name .. "\n(.-)\nlocal ") or ""
      for field in class:gmatch("%-%-%-@field (%S+)") do
        described[field] = live[field]
      end
      assert.same(names(live), names(described))
      for key, value in pairs(described) do
        assert.equal(type(value), type(live[key]), key)
      end
      for class_name, list in pairs(classes(text)) do
        if types[class_name] then
          assert.same(methods(types[class_name]), list, class_name)
        end
      end
    end)
  end
end)
