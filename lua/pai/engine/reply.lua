-- Answers of the REST contract: error bodies with upstream's codes, checked query parameters, and
-- times and durations as upstream writes them.
local json = require("pai.json")

local M = {}

local Failure = { __name = "pai.engine.failure" }

---Raises an answer of upstream's user-class error shape.
---@param error_code string USAGE, USER, DATABASE, RESOURCE, CREDENTIAL, SUBMISSION
---@param message string
---@param workflow_id string?
---@param http integer? 400 unless given
function M.fail(error_code, message, workflow_id, http)
  error(
    setmetatable({
      status = http or 400,
      json = {
        message = message,
        error_code = error_code,
        workflow_id = workflow_id or json.null,
      },
    }, Failure),
    0
  )
end

---Raises the answer for what the embedded engine does not do.
---@param what string
function M.unsupported(what)
  M.fail("USAGE", what .. " is not supported by the embedded engine")
end

---Raises a 500 without a code, as upstream answers faults and plain value errors.
---@param message string
function M.fault(message)
  error(
    setmetatable(
      { status = 500, json = { message = "Internal server error: " .. message } },
      Failure
    ),
    0
  )
end

---@class pai.engine.Detail
---@field type string
---@field loc (string|integer)[]
---@field msg string
---@field input any

---Raises a 422.
---@param detail pai.engine.Detail[]
function M.invalid(detail)
  error(setmetatable({ status = 422, json = { detail = json.array(detail) } }, Failure), 0)
end

---The answer that was raised, if it was one of these.
---@param v any
---@return table?
function M.raised(v)
  if type(v) == "table" and getmetatable(v) == Failure then
    return { status = v.status, json = v.json }
  end
end

local function value(v)
  if v == nil then
    return json.null
  end
  return v
end
M.value = value

-- The times of a task lie in one or two seconds mostly.
local last_second, last_text

---A time as upstream writes it: naive UTC, up to six decimals.
---@param ms integer?
---@return any text or null
function M.time(ms)
  if not ms then
    return json.null
  end
  local second = ms // 1000
  if second ~= last_second then
    last_second, last_text = second, os.date("!%Y-%m-%dT%H:%M:%S", second)
  end
  local text = last_text
  return ms % 1000 == 0 and text or ("%s.%03d000"):format(text, ms % 1000)
end

---The answer of what changes something and has nothing to say.
---@return table
function M.null()
  return { headers = { ["content-type"] = "application/json" }, body = "null" }
end

---Seconds between two times as a float.
---@param from integer?
---@param to integer?
---@return any float or null
function M.seconds(from, to)
  if not from or not to then
    return json.null
  end
  return (to - from) / 1000
end

local TRUE <const> = { ["true"] = true, ["1"] = true, yes = true, on = true, t = true, y = true }
local FALSE <const> = { ["false"] = true, ["0"] = true, no = true, off = true, f = true, n = true }

---@class pai.engine.Query
---@field raw table<string, string[]>
---@field detail pai.engine.Detail[]
local Query = {}
Query.__index = Query

---@param raw table<string, string[]>
---@return pai.engine.Query
function M.query(raw)
  return setmetatable({ raw = raw or {}, detail = {} }, Query)
end

local function complain(self, kind, name, index, msg, input, ctx)
  local loc = { "query", name }
  if index then
    loc[3] = index - 1
  end
  self.detail[#self.detail + 1] = { type = kind, loc = loc, msg = msg, input = input, ctx = ctx }
end

---@param name string
---@return string?
function Query:text(name)
  local list = self.raw[name]
  return list and list[#list]
end

---@param name string
---@return string[]
function Query:list(name)
  return self.raw[name] or {}
end

---@param name string
---@return table<string, boolean> set of the values that were given
function Query:set(name)
  local out = {}
  for _, item in ipairs(self:list(name)) do
    out[item] = true
  end
  return out
end

---@param name string
---@param default boolean
---@return boolean
function Query:bool(name, default)
  local text = self:text(name)
  if text == nil then
    return default
  end
  local low = text:lower()
  if TRUE[low] then
    return true
  elseif not FALSE[low] then
    complain(
      self,
      "bool_parsing",
      name,
      nil,
      "Input should be a valid boolean, unable to interpret input",
      text
    )
  end
  return false
end

---@param name string
---@param default integer?
---@return integer?
function Query:int(name, default)
  local text = self:text(name)
  if text == nil then
    return default
  end
  local n = text:match("^%s*[+-]?%d+%s*$") and math.tointeger(tonumber(text))
  if not n then
    complain(
      self,
      "int_parsing",
      name,
      nil,
      "Input should be a valid integer, unable to parse string as an integer",
      text
    )
  end
  return n or default
end

local function expected(values)
  local quoted = {}
  for i, v in ipairs(values) do
    quoted[i] = "'" .. v .. "'"
  end
  if #quoted == 1 then
    return quoted[1]
  end
  return table.concat(quoted, ", ", 1, #quoted - 1) .. " or " .. quoted[#quoted]
end

---Values of a repeatable parameter, each one of a set.
---@param name string
---@param values string[]
---@param single boolean?
---@return string[]
function Query:enum(name, values, single)
  local known, out = {}, {}
  for _, v in ipairs(values) do
    known[v] = true
  end
  for i, v in ipairs(self:list(name)) do
    if known[v] then
      out[#out + 1] = v
    else
      local text = expected(values)
      complain(
        self,
        "enum",
        name,
        not single and i or nil,
        "Input should be " .. text,
        v,
        { expected = text }
      )
    end
  end
  return out
end

---A point in time, as milliseconds; without a zone it is UTC.
---@param name string
---@return integer?
function Query:time(name)
  local text = self:text(name)
  if text == nil then
    return nil
  end
  local y, m, d, rest = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$")
  local hour, min, sec, zone = 0, 0, 0, ""
  if y and rest ~= "" then
    hour, min, rest = rest:match("^[T ](%d%d):(%d%d)(.*)$")
    if hour then
      sec, zone = rest:match("^:(%d%d)%.?%d*(.*)$")
      sec, zone = sec or 0, zone or rest
    end
  end
  local sign, zh, zm = (zone or ""):match("^([+-])(%d%d):?(%d%d)$")
  local plain = zone == "" or zone == "Z" or zone == "z"
  if not y or not hour or not (plain or sign) then
    complain(
      self,
      "datetime_from_date_parsing",
      name,
      nil,
      "Input should be a valid datetime or date",
      text
    )
    return nil
  end
  -- Days since 1970 by the civil calendar; os.time would take the local zone.
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  local yy = m <= 2 and y - 1 or y
  local era = yy // 400
  local yoe = yy - era * 400
  local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  local days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
  local seconds = days * 86400 + tonumber(hour) * 3600 + tonumber(min) * 60 + tonumber(sec)
  if sign then
    local offset = tonumber(zh) * 3600 + tonumber(zm) * 60
    seconds = seconds - (sign == "-" and -offset or offset)
  end
  return math.tointeger(seconds) * 1000
end

---Raises a 422 if any parameter was wrong.
---@return pai.engine.Query
function Query:check()
  if #self.detail > 0 then
    M.invalid(self.detail)
  end
  return self
end

return M
