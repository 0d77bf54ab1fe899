-- Lists, page by page. A list that expires between two pages (410) is read again from its start,
-- and the second time in one piece, as the API conventions advise.
local status = require("pai.k8s.status")

local M = {}

M.PAGE = 500

---@class pai.k8s.ListOptions
---@field namespace string?
---@field all boolean? of every namespace
---@field labels string? selector
---@field fields string? selector
---@field pick string[]? the paths of an item that are wanted, such as "metadata.name"
---@field page integer? items a request, 0 for all at once; default 500
---@field timeout string|integer? of a request
---@field on_page fun(items: table[])? takes the items of each page; then none are kept. It may be
---called anew from the start after a list has expired, with `true` as the second argument

-- The picked paths, seen from the list; what paging needs is always among them.
local function picked(paths)
  if not paths then
    return nil
  end
  local list = { "kind", "metadata.continue", "metadata.resourceVersion" }
  for _, path in ipairs(paths) do
    list[#list + 1] = "items[]." .. path
  end
  return list
end

local function read(self, r, path, opts, page)
  local accept = self:accept(r, true)
  local items, token = {}, nil
  local first = true
  repeat
    local doc, e = self.transport:call("GET", path, {
      query = {
        labelSelector = opts.labels,
        fieldSelector = opts.fields,
        limit = page > 0 and page or nil,
        continue = token,
      },
      accept = accept,
      timeout = opts.timeout,
      pick = picked(opts.pick),
    })
    if not doc then
      return nil, e, not first
    end
    local meta = doc.metadata or {}
    for _, item in ipairs(accept and doc.items or {}) do
      self:clean(r, item)
    end
    if opts.on_page then
      opts.on_page(doc.items or {}, first)
    elseif first then
      items = doc.items or {}
    else
      table.move(doc.items or {}, 1, #(doc.items or {}), #items + 1, items)
    end
    token = meta.continue ~= "" and meta.continue or nil
    items.version = meta.resourceVersion
    first = false
  until not token
  return items
end

---Reads all objects of a resource.
---@param self pai.k8s.Client
---@param what string|table resource
---@param opts pai.k8s.ListOptions?
---@return table[]? items and `version`, the resourceVersion that a watch may start from
---@return pai.Error? err
function M.list(self, what, opts)
  opts = opts or {}
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local path = self:path(r, nil, opts)
  local page = opts.page or M.PAGE
  local items, midway
  for _, size in ipairs({ page, page, 0 }) do
    items, e, midway = read(self, r, path, opts, size)
    if items then
      local api = r.group == "" and r.version or r.group .. "/" .. r.version
      for _, item in ipairs(not opts.pick and items or {}) do
        -- items of a list do not say what they are
        item.kind = item.kind ~= "PartialObjectMetadata" and item.kind or r.kind
        item.apiVersion = api
      end
      return items
    elseif not midway or not status.is_gone(e) then
      return nil, e
    end
  end
  return nil, e
end

return M
