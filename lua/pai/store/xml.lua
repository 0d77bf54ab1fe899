-- The XML that object stores answer with: elements and text. Attributes are kept for Azure's
-- `Encoded`; comments, instructions and the prolog are passed over, a document type is refused.
local err = require("pai.err")

local M = {}

local DEPTH <const> = 40

local NAMED <const> = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

---@class pai.store.Element
---@field name string
---@field text string its own text, joined
---@field attributes string? as written
---@field [integer] pai.store.Element

local function decode(text)
  if not text:find("&", 1, true) then
    return text
  end
  return (
    text:gsub("&(#?)(x?)(%w+);", function(number, hex, name)
      if number == "" then
        return NAMED[hex .. name]
      end
      local code = tonumber(name, hex == "x" and 16 or 10)
      return code and code < 0x110000 and utf8.char(code) or nil
    end)
  )
end

---Escapes a text for use between tags.
---@param text string
---@return string
function M.escape(text)
  return (
    text:gsub("[&<>\"'\r]", {
      ["&"] = "&amp;",
      ["<"] = "&lt;",
      [">"] = "&gt;",
      ['"'] = "&quot;",
      ["'"] = "&apos;",
      ["\r"] = "&#13;",
    })
  )
end

---Reads a document.
---@param body string
---@return pai.store.Element? root
---@return pai.Error? err EPARSE
function M.parse(body)
  if body:find("<!DOCTYPE", 1, true) then
    return err.fail("EPARSE", "an XML answer with a document type")
  end
  local top = { name = "", text = "" }
  local stack, at = { top }, 1
  while true do
    local open, close, slash, name, attributes, empty =
      body:find("<(/?)([%a_][^%s/>]*)(.-)(/?)>", at)
    local node = stack[#stack]
    local upto = body:sub(at, (open or #body + 1) - 1)
    if upto ~= "" then
      node.text = node.text .. decode((upto:gsub("<[?!].-[?-]?>", "")))
    end
    if not open then
      break
    end
    at = close + 1
    if slash == "/" then
      if #stack < 2 or node.name ~= name then
        return err.fail("EPARSE", ("an XML answer with </%s> in the wrong place"):format(name))
      end
      stack[#stack] = nil
    else
      local child = { name = name, text = "", attributes = attributes ~= "" and attributes or nil }
      node[#node + 1] = child
      if empty ~= "/" then
        if #stack > DEPTH then
          return err.fail("EPARSE", "an XML answer that is too deep")
        end
        stack[#stack + 1] = child
      end
    end
  end
  if #stack > 1 then
    return err.fail("EPARSE", ("an XML answer that ends within <%s>"):format(stack[#stack].name))
  elseif not top[1] then
    return err.fail("EPARSE", "an answer that is no XML")
  end
  return top[1]
end

---The first child of a name.
---@param node pai.store.Element?
---@param name string
---@return pai.store.Element?
function M.child(node, name)
  for _, child in ipairs(node or {}) do
    if child.name == name then
      return child
    end
  end
end

---The text of the first child of a name.
---@param node pai.store.Element?
---@param name string
---@return string?
function M.text(node, name)
  local child = M.child(node, name)
  return child and child.text
end

return M
