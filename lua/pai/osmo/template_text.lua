-- Text operations that methods and filters of the template engine share. Case folding knows ASCII;
-- other letters pass unchanged.
local value = require("pai.osmo.template_value")

local M = {}
local raise = value.raise

---A text argument, or TypeError.
function M.check(v, what)
  if type(value.use(v)) ~= "string" then
    raise("TypeError", "%s must be str, not %s", what or "argument", value.type(v))
  end
  return v
end

local function char_set(chars)
  local set = {}
  for _, c in ipairs(value.items(M.check(chars))) do
    set[c] = true
  end
  return set
end

local WHITE = char_set(" \t\n\r\f\v\28\29\30\31")

---@param s string
---@param chars any text of characters, or None for white space
---@param left boolean
---@param right boolean
---@return string
function M.strip(s, chars, left, right)
  local set = (chars == nil or chars == value.None) and WHITE or char_set(chars)
  local items = value.items(s)
  local first, last = 1, #items
  while left and first <= last and set[items[first]] do
    first = first + 1
  end
  while right and last >= first and set[items[last]] do
    last = last - 1
  end
  return table.concat(items, "", first, last)
end

---Splits at white space or at a separator, at most `limit` times (negative: always).
---@return string[]
function M.split(s, sep, limit)
  local out, pos = {}, 1
  if sep == value.None then
    pos = s:match("^%s*()")
    while pos <= #s do
      if limit >= 0 and #out == limit then
        out[#out + 1] = s:sub(pos):gsub("%s+$", "")
        break
      end
      local word, after = s:match("^(%S+)%s*()", pos)
      out[#out + 1], pos = word, after
    end
    return out
  end
  if M.check(sep) == "" then
    raise("ValueError", "empty separator")
  end
  while true do
    local from, to = s:find(sep, pos, true)
    if not from or (limit >= 0 and #out == limit) then
      out[#out + 1] = s:sub(pos)
      return out
    end
    out[#out + 1] = s:sub(pos, from - 1)
    pos = to + 1
  end
end

---Splits from the right.
---@return string[]
function M.rsplit(s, sep, limit)
  local parts = M.split(s, sep, -1)
  if limit < 0 or #parts <= limit + 1 then
    return parts
  end
  local keep = #parts - limit
  if sep == value.None then
    -- white space inside the first part stays as it is
    local rest = s
    for _ = 1, limit do
      rest = rest:gsub("%s+$", ""):gsub("%S+$", "")
    end
    return table.move(parts, keep + 1, #parts, 2, { (rest:gsub("%s+$", ""):gsub("^%s+", "")) })
  end
  return table.move(parts, keep + 1, #parts, 2, { table.concat(parts, sep, 1, keep) })
end

---@param s string
---@param keep boolean? keep the line ends
---@return string[]
function M.lines(s, keep)
  local out, pos = {}, 1
  while pos <= #s do
    local from = s:find("[\n\r\v\f\28-\30]", pos)
    if not from then
      out[#out + 1] = s:sub(pos)
      break
    end
    local to = s:sub(from, from + 1) == "\r\n" and from + 1 or from
    out[#out + 1] = s:sub(pos, keep and to or from - 1)
    pos = to + 1
  end
  return out
end

---@param s string
---@param old string
---@param new string
---@param count integer negative: all
---@return string
function M.replace(st, s, old, new, count)
  local parts, pos, done = {}, 1, 0
  if old == "" then
    for _, c in ipairs(value.items(s)) do
      if count >= 0 and done >= count then
        new = ""
      end
      parts[#parts + 1] = new .. c
      done = done + 1
    end
    parts[#parts + 1] = (count < 0 or done < count) and new or ""
  else
    while count < 0 or done < count do
      local from, to = s:find(old, pos, true)
      if not from then
        break
      end
      parts[#parts + 1] = s:sub(pos, from - 1) .. new
      pos, done = to + 1, done + 1
    end
    parts[#parts + 1] = s:sub(pos)
  end
  st.ops.charge(st, #s + done * #new)
  return table.concat(parts)
end

---@return string
function M.justify(st, s, width, fill, where)
  local missing = width - (utf8.len(s) or #s)
  if missing <= 0 then
    return s
  end
  st.ops.charge(st, width)
  if where == "left" then
    return s .. fill:rep(missing)
  elseif where == "right" then
    return fill:rep(missing) .. s
  end
  -- Python puts the odd one left when the width is odd, too
  local left = missing // 2 + (missing & width & 1)
  return fill:rep(left) .. s .. fill:rep(missing - left)
end

local HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&#39;", ['"'] = "&#34;" }

function M.escape(s)
  return (s:gsub("[&<>'\"]", HTML))
end

return M
