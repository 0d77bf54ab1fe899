-- How a transfer is shown: one line that is drawn over on a terminal, a line a file elsewhere.
local out = require("pai.out")
local task = require("pai.task")
local term = require("pai.term")
local text = require("pai.text")

local M = {}

local UNITS <const> = { "B", "KiB", "MiB", "GiB", "TiB" }

---A number of bytes for people.
---@param n number
---@return string
function M.bytes(n)
  local unit = 1
  while n >= 1024 and unit < #UNITS do
    n, unit = n / 1024, unit + 1
  end
  return (unit == 1 and "%d %s" or "%.1f %s"):format(unit == 1 and n // 1 | 0 or n, UNITS[unit])
end

local function clock(seconds)
  local s = math.ceil(seconds)
  if s >= 3600 then
    return ("%d:%02d:%02d"):format(s // 3600, s % 3600 // 60, s % 60)
  end
  return ("%d:%02d"):format(s // 60, s % 60)
end

-- The longest and the shortest bar.
local BAR <const>, SHORT <const> = 20, 6

-- Numbers keep their places while they grow.
local function padded(n)
  return ("%9s"):format(M.bytes(n))
end

local function bar(part, size)
  local full = math.floor(part * size)
  return ("[%s%s] "):format(("#"):rep(full), ("-"):rep(size - full))
end

---The line of a transfer that is under way. In a narrow terminal the bar is shorter; then it, the
---files and the bytes are left out.
---@param p pai.store.Progress
---@param columns integer?
---@return string
function M.line(p, columns)
  local part = p.total > 0 and p.bytes / p.total or 1
  local left = p.left and p.left < 360000 and clock(p.left) .. " left" or ""
  local first = ("%3d%%  "):format(math.floor(part * 100))
  local whole = ("%s of %s  "):format(padded(p.bytes), M.bytes(p.total))
  local files = ("%d/%d files  "):format(p.files, p.count)
  local last = ("%s/s  %s"):format(padded(p.rate), left)
  local free = (columns or math.huge) - #first - #last
  local size = math.min(BAR, free - #whole - #files - 3)
  if size >= SHORT then
    return bar(part, size) .. first .. whole .. files .. last
  elseif #whole + #files <= free then
    return first .. whole .. files .. last
  end
  return first .. (#whole <= free and whole or "") .. last
end

-- Where nobody watches, a line now and then says that it goes on.
local EVERY_MS <const> = 60000

local function plain(verb)
  local said = task.now()
  return function(p)
    if p.file then
      out.stderr(("%s %s\n"):format(p.skipped and "is there:" or verb, p.file))
    elseif task.now() - said >= EVERY_MS then
      said = task.now()
      out.stderr((M.line(p):gsub("^%[.-%] *", "")) .. "\n")
    end
  end
end

---What listens to a transfer, and what clears the line at its end.
---@param quiet boolean?
---@param verb string "uploaded"
---@return fun(p: pai.store.Progress)? listen
---@return fun() finish
function M.new(quiet, verb)
  if quiet then
    return nil, function() end
  end
  if not term.isatty(2) then
    return plain(verb), function() end
  end
  return function(p)
    local columns = math.max(term.size() - 3, 20) -- room for an echoed ^C
    out.stderr("\r\27[K" .. text.cut(M.line(p, columns), columns))
    out.flush(2)
  end, function()
    out.stderr("\r\27[K")
  end
end

return M
