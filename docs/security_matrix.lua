-- The table of docs/security.md: which forms of a secret the masker finds, from a run. As a script
-- it writes the table into the file that it is given; as a module it gives the rows to the test.
local crypto = require("pai.crypto")
local mask = require("pai.mask")

local M = {}

-- Everything that an encoding changes, and no secret.
local VALUE <const> = [[q7/R+x"B'm&Z<w $K%9-dT>]]
local OTHERS <const> = { no = "shown", some = "shown at some lengths" }
local LENGTHS <const> = { 21, 22, 23 }

local function each(text, pattern, format)
  return (text:gsub(pattern, function(c)
    return (format):format(c:byte())
  end))
end

local function wrapped(text, columns, line_end)
  return (text:gsub(("."):rep(columns), "%0" .. line_end))
end

local function json(text)
  return (text:gsub('["\\]', "\\%0"))
end

local function utf16(text, big)
  return (text:gsub(".", big and "\0%0" or "%0\0"))
end

-- name, what makes it, and: lines = the value has some; others = "no" where the source says that
-- both other maskers miss it; foreign = bytes of the text that are no part of the value.
local TRANSFORMS <const> = {
  {
    "as it is",
    function(v)
      return v
    end,
  },
  { "base64", crypto.base64_encode },
  {
    "base64 after other text",
    function(v)
      return crypto.base64_encode("user:" .. v)
    end,
    foreign = 7,
  },
  {
    "base64 before other text",
    function(v)
      return crypto.base64_encode(v .. ":x")
    end,
    others = "some",
    foreign = 3,
  },
  {
    "base64 for URLs",
    function(v)
      return crypto.base64_encode(v, { url = true })
    end,
    others = "no",
  },
  {
    "base64 wrapped at 64",
    function(v)
      return wrapped(crypto.base64_encode(("x"):rep(36) .. v), 64, "\n")
    end,
    foreign = 48,
  },
  {
    "base64 wrapped at 76, CRLF",
    function(v)
      return wrapped(crypto.base64_encode(("x"):rep(48) .. v), 76, "\r\n")
    end,
    others = "no",
    foreign = 64,
  },
  {
    "hexadecimal, lower case",
    function(v)
      return each(v, ".", "%02x")
    end,
    others = "no",
  },
  {
    "hexadecimal, upper case",
    function(v)
      return each(v, ".", "%02X")
    end,
    others = "no",
  },
  {
    "percent, reserved characters",
    function(v)
      return each(v, "[^%w_.~-]", "%%%02X")
    end,
  },
  {
    "percent, lower case",
    function(v)
      return each(v, "[^%w_.~-]", "%%%02x")
    end,
    others = "no",
  },
  {
    "percent, some characters",
    function(v)
      return each(v, '["%%< ]', "%%%02X")
    end,
    others = "no",
  },
  {
    "percent, every character",
    function(v)
      return each(v, ".", "%%%02X")
    end,
  },
  { "JSON string", json },
  {
    "JSON string with \\/",
    function(v)
      return (json(v):gsub("/", "\\/"))
    end,
    others = "no",
  },
  {
    "JSON string with \\u003c",
    function(v)
      return each(json(v), "[<>&']", "\\u%04x")
    end,
  },
  {
    "JSON within JSON",
    function(v)
      return json(json(v))
    end,
    others = "no",
  },
  {
    "shell, single quotes",
    function(v)
      return (v:gsub("'", "'\\''"))
    end,
  },
  {
    "shell, double quotes",
    function(v)
      return (v:gsub('["$`\\]', "\\%0"))
    end,
  },
  {
    "shell, $'…'",
    function(v)
      return (v:gsub("['\\]", "\\%0"))
    end,
  },
  {
    "printf %q",
    function(v)
      return (v:gsub("[^%w/+%%_.-]", "\\%0"))
    end,
  },
  {
    "XML, names",
    function(v)
      return (
        v:gsub(
          "[&<>\"']",
          { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }
        )
      )
    end,
  },
  {
    "XML, numbers",
    function(v)
      return each(v, "[&<>\"']", "&#%d;")
    end,
  },
  {
    "UTF-16, little-endian",
    function(v)
      return utf16(v, false)
    end,
    others = "no",
  },
  {
    "a colour code inside",
    function(v)
      return v:sub(1, 9) .. "\27[31m" .. v:sub(10)
    end,
    others = "no",
  },
  {
    "a line's end inside",
    function(v)
      return v:sub(1, 9) .. "\n" .. v:sub(10)
    end,
    others = "no",
  },
  {
    "several lines, CRLF",
    function(v)
      return (v:gsub("\n", "\r\n"))
    end,
    lines = true,
  },
  {
    "several lines, joined by spaces",
    function(v)
      return (v:gsub("\n", " "))
    end,
    lines = true,
  },
  { "reversed", string.reverse, others = "no" },
  {
    "the first half of it",
    function(v)
      return v:sub(1, #v // 2)
    end,
    others = "no",
  },
}

local function value_of(length, lines)
  local value = VALUE:sub(1, length)
  return lines and value:sub(1, 6) .. "\n" .. value:sub(8, 13) .. "\n" .. value:sub(15) or value
end

---The text of a transform at a length, and how many of its bytes may stay: what is not the value's,
---and in base64 the characters at its ends that hold bits of their neighbours.
---@param transform table
---@param length integer
---@return string value
---@return string text
---@return integer may_stay
function M.text(transform, length)
  local value = value_of(length, transform.lines)
  return value, transform[2](value), (transform.foreign or 0) + 4
end

---What comes out for a text in pieces of so many bytes.
---@param value string
---@param text string
---@param cut integer? the length of the first piece; the rest is the second
---@return string
function M.masked(value, text, cut)
  local m = mask.new()
  assert(m:add(value))
  text = "<" .. text .. ">"
  cut = cut or #text
  return m:feed(text:sub(1, cut)) .. m:feed(text:sub(cut + 1)) .. m:finish()
end

---Whether the value is gone from what came out.
---@param out string
---@param may_stay integer
---@return boolean
function M.gone(out, may_stay)
  return out:find("***", 1, true) ~= nil and #out - #"<***>" <= may_stay
end

M.transforms = TRANSFORMS
M.lengths = LENGTHS

---The table as Markdown.
---@return string
function M.markdown()
  local out = {
    "| form of the value | 21 bytes | 22 bytes | 23 bytes | runner | Buildkite |",
    "| --- | --- | --- | --- | --- | --- |",
  }
  for _, transform in ipairs(TRANSFORMS) do
    local cells = {}
    for i, length in ipairs(LENGTHS) do
      local value, text, may_stay = M.text(transform, length)
      cells[i] = M.gone(M.masked(value, text), may_stay) and "masked" or "**shown**"
    end
    cells[4] = OTHERS[transform.others] or ""
    cells[5] = cells[4]
    out[#out + 1] = ("| %s | %s |"):format(transform[1], table.concat(cells, " | "))
  end
  return table.concat(out, "\n") .. "\n"
end

local BEGIN <const>, END <const> = "<!-- matrix -->\n", "<!-- end of matrix -->"

---Puts the table into a text, between its marks.
---@param text string
---@return string
function M.insert(text)
  local _, from = text:find(BEGIN, 1, true)
  local to = text:find(END, 1, true)
  assert(from and to, "the text has no marks for the table")
  return text:sub(1, from) .. M.markdown() .. text:sub(to)
end

if arg and arg[0] and arg[0]:find("security_matrix%.lua$") then
  local fs = require("pai.fs")
  assert(fs.write(arg[1], M.insert(assert(fs.read(arg[1])))))
end

return M
