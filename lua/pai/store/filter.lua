-- Which names of a transfer are meant: a regular expression as OSMO's client takes it (matched from
-- the beginning), and patterns with * ** ? and [a-z].
local err = require("pai.err")

local M = {}

-- "*" and "?" stop at a slash, "**" does not.
local function to_pattern(glob)
  local out, i = { "^" }, 1
  while i <= #glob do
    local c = glob:sub(i, i)
    if glob:sub(i, i + 2) == "**/" then
      out[#out + 1], i = "\0", i + 3
    elseif glob:sub(i, i + 1) == "**" then
      out[#out + 1], i = ".*", i + 2
    elseif c == "*" then
      out[#out + 1], i = "[^/]*", i + 1
    elseif c == "?" then
      out[#out + 1], i = "[^/]", i + 1
    else
      local set, after = glob:match("^%[([^%]]+)%]()", i)
      if set then
        out[#out + 1] = "[" .. set:gsub("^!", "^"):gsub("%%", "%%%%") .. "]"
        i = after
      else
        out[#out + 1], i = c:gsub("%W", "%%%0"), i + 1
      end
    end
  end
  return table.concat(out) .. "$"
end

-- "**/x" also means x itself, so such a pattern is tried with and without the folders.
local function matcher(glob)
  local pattern = to_pattern(glob)
  local variants = { (pattern:gsub("%z", "")) }
  if pattern:find("\0", 1, true) then
    variants[2] = pattern:gsub("%z", ".*/")
  end
  local whole = glob:find("/", 1, true) ~= nil
  return function(name)
    local subject = whole and name or name:match("[^/]*$")
    for _, variant in ipairs(variants) do
      if subject:find(variant) then
        return true
      end
    end
    return false
  end
end

local function any(list, name)
  for _, matches in ipairs(list) do
    if matches(name) then
      return true
    end
  end
  return false
end

local function compile(globs)
  local list = {}
  for i, glob in ipairs(globs or {}) do
    if type(glob) ~= "string" or glob == "" then
      err.raise("EINVAL", "a pattern is a text that is not empty")
    end
    list[i] = matcher(glob)
    local ok = pcall(list[i], "x")
    if not ok then
      err.raise("EINVAL", ("'%s' is no pattern"):format(glob))
    end
  end
  return list
end

---Makes a test of names. Raises EINVAL. A pattern without a slash is compared with the last part of
---a name, one with a slash with all of it. A name is meant when it matches `regex` and one of
---`include` (where they are given) and none of `exclude`.
---@param opts {regex: string?, include: string[]?, exclude: string[]?}
---@return fun(name: string): boolean
function M.new(opts)
  local include, exclude = compile(opts.include), compile(opts.exclude)
  local regex
  if opts.regex and opts.regex ~= "" then
    local compiled, e = require("pai.osmo.regex").compile(opts.regex)
    if not compiled then
      err.raise("EINVAL", ("regex: %s"):format(e and tostring(e.message or e) or "not readable"))
    end
    regex = compiled
  end
  return function(name)
    if regex and not regex:match(name) then
      return false
    elseif #include > 0 and not any(include, name) then
      return false
    end
    return not any(exclude, name)
  end
end

return M
