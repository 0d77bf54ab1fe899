-- How a transfer is shown: one line that is drawn over on a terminal, a line a file elsewhere.
local out = require("pai.out")
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

local BAR <const> = 20

---The line of a transfer that is under way.
---@param p pai.store.Progress
---@return string
function M.line(p)
  local part = p.total > 0 and p.bytes / p.total or 1
  local full = math.floor(part * BAR)
  local left = p.left and p.left < 360000 and clock(p.left) .. " left" or ""
  return ("[%s%s] %3d%%  %s of %s  %d/%d files  %s/s  %s"):format(
    ("#"):rep(full),
    ("-"):rep(BAR - full),
    math.floor(part * 100),
    M.bytes(p.bytes),
    M.bytes(p.total),
    p.files,
    p.count,
    M.bytes(p.rate),
    left
  )
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
    return function(p)
      if p.file then
        out.stderr(("%s %s\n"):format(p.skipped and "is there:" or verb, p.file))
      end
    end, function() end
  end
  local columns = term.size()
  return function(p)
    out.stderr("\r\27[K" .. text.cut(M.line(p), math.max(columns - 1, 20)))
    out.flush(2)
  end, function()
    out.stderr("\r\27[K")
  end
end

return M
