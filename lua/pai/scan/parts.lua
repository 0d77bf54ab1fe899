-- What the rules of pai scan are written with: boundaries, and keywords of one character more.
local M = {}

---Nothing that could belong to a token stands before, or behind.
M.L = "(?<![A-Za-z0-9_-])"
M.R = "(?![A-Za-z0-9_-])"
---The same for base64.
M.LB = "(?<![A-Za-z0-9+/_=-])"
M.RB = "(?![A-Za-z0-9+/=_-])"
---Between a label and its value: `key: "`, `key=`, `"key" => '`.
M.SEP = [=[["']?[ ]{0,3}(?:=>|:=|=|:)[ ]{0,3}["']?]=]

M.ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"

---A prefix with each character that may follow. The filter ignores case, and needs 4 bytes.
---@param prefix string
---@param characters string
---@return string[]
function M.after(prefix, characters)
  local list = {}
  for c in characters:gmatch(".") do
    list[#list + 1] = prefix .. c
  end
  return list
end

---A suffix with each character that may stand before it.
---@param characters string
---@param suffix string
---@return string[]
function M.before(characters, suffix)
  local list = {}
  for c in characters:gmatch(".") do
    list[#list + 1] = c .. suffix
  end
  return list
end

---Ends of labels that end in "key".
M.KEY = { "_key", "-key", ".key", " key", "ekey", "skey", "tkey", "ykey", "dkey", "ikey", "nkey" }

---Adds a list to another one.
---@param to string[]
---@param list string[]
function M.add(to, list)
  table.move(list, 1, #list, #to + 1, to)
end

---Joins lists.
---@param ... string[]
---@return string[]
function M.join(...)
  local all = {}
  for _, list in ipairs({ ... }) do
    M.add(all, list)
  end
  return all
end

return M
