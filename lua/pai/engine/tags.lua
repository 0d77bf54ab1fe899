-- Tags: words that pools.yaml allows, put on runs and taken off.
local find = require("pai.engine.find")
local json = require("pai.json")
local reply = require("pai.engine.reply")

local M = {}

---GET /api/tag
---@param engine pai.engine.Engine
---@return table
function M.allowed(engine)
  return { tags = json.array(engine.tags) }
end

---The tags of a run, sorted.
---@param engine pai.engine.Engine
---@param workflow integer seq
---@return string[]
function M.of(engine, workflow)
  local out = json.array({})
  for i, row in
    ipairs(engine.store:rows("SELECT tag FROM tags WHERE workflow = ? ORDER BY tag", workflow))
  do
    out[i] = row.tag
  end
  return out
end

---POST /api/workflow/{id}/tag
---@param engine pai.engine.Engine
---@param req table
---@param id string
---@return table
function M.change(engine, req, id)
  local q = reply.query(req.query)
  local add, remove = q:list("add"), q:list("remove")
  if #add + #remove == 0 then
    reply.fail("USER", "No tags specified!")
  end
  local w = find.workflow(engine, id)
  local unknown = q:set("add")
  for _, tag in ipairs(engine.tags) do
    unknown[tag] = nil
  end
  if next(unknown) then
    local said = "Invalid tag detected. Users can only set specified tags: "
    reply.fail("USER", said .. table.concat(engine.tags, ", "))
  end
  engine.store:transaction("tag", function()
    for _, tag in ipairs(remove) do
      engine.store:run("DELETE FROM tags WHERE workflow = ? AND tag = ?", w.seq, tag)
    end
    for _, tag in ipairs(add) do
      engine.store:run("INSERT OR IGNORE INTO tags (workflow, tag) VALUES (?, ?)", w.seq, tag)
    end
  end)
  return reply.null()
end

return M
