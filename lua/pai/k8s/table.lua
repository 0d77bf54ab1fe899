-- Lists as tables: the server makes the cells, as it does for kubectl, so that every kind has its
-- own columns, those of custom resources too. Only the cells are read of what it sends.
local err = require("pai.err")
local list = require("pai.k8s.list")
local status = require("pai.k8s.status")

local M = {}

local TABLE <const> = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"

---@class pai.k8s.Table
---@field columns { name: string, priority: integer }[]
---@field rows any[][] cells
---@field namespaces string[]? of each row, when all namespaces were asked for

local function read(self, path, query, all)
  local pick = { "kind", "metadata.continue", "columnDefinitions", "rows[].cells" }
  if all then
    pick[#pick + 1] = "rows[].object.metadata.namespace"
  end
  query.includeObject = all and "Metadata" or "None"
  return self.transport:call("GET", path, { accept = TABLE, query = query, pick = pick })
end

local function take(into, doc, all)
  into.columns = into.columns or doc.columnDefinitions or {}
  for _, row in ipairs(doc.rows or {}) do
    into.rows[#into.rows + 1] = row.cells
    if all then
      into.namespaces[#into.rows] = row.object and row.object.metadata.namespace or ""
    end
  end
end

local function pages(self, path, opts, page)
  local into = { rows = {}, namespaces = opts.all and {} or nil }
  local token
  repeat
    local doc, e = read(self, path, {
      labelSelector = opts.labels,
      fieldSelector = opts.fields,
      limit = page > 0 and page or nil,
      continue = token,
    }, opts.all)
    if not doc then
      return nil, e, token ~= nil
    elseif doc.kind ~= "Table" then
      return err.fail("EPROTO", ("GET %s: the server makes no tables"):format(path))
    end
    take(into, doc, opts.all)
    token = doc.metadata and doc.metadata.continue
  until not token or token == ""
  return into
end

---Reads a resource's objects, or one, as a table.
---@param self pai.k8s.Client
---@param what string|table resource
---@param opts pai.k8s.ListOptions|{ name: string? }|nil
---@return pai.k8s.Table?
---@return pai.Error? err
function M.table(self, what, opts)
  opts = opts or {}
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  opts.all = opts.all and r.namespaced and not opts.name
  local path = self:path(r, opts.name, opts)
  local found, midway
  for _, page in ipairs(opts.name and { 0 } or { list.PAGE, list.PAGE, 0 }) do
    found, e, midway = pages(self, path, opts, page)
    if found or not midway or not status.is_gone(e) then
      break
    end
  end
  return found, e
end

return M
