-- What nvidia-smi answers when it is asked for fields of the GPUs, as comma-separated rows
-- (nvidia-smi --help-query-gpu).
local M = {}

---The words after nvidia-smi that ask.
---@param fields string[] such as "index", "name", "memory.total"
---@return string[]
function M.query(fields)
  return { "--query-gpu=" .. table.concat(fields, ","), "--format=csv,noheader,nounits" }
end

---Reads the answer; lines that are no rows, such as a complaint of the driver, are left out.
---@param said string
---@param fields string[] as they were asked for; "index" among them
---@return table<string, string|integer>[] rows by field; index and memory.total are integers, the
---latter absent where it is not told
function M.rows(said, fields)
  local out = {}
  for line in said:gmatch("[^\r\n]+") do
    local row, n = {}, 0
    for value in (line .. ","):gmatch("%s*(.-)%s*,") do
      n = n + 1
      row[fields[n] or "more"] = value
    end
    for _, name in ipairs({ "index", "memory.total" }) do
      row[name] = row[name] and math.tointeger(tonumber(row[name]))
    end
    if n == #fields and row.index then
      out[#out + 1] = row
    end
  end
  return out
end

return M
