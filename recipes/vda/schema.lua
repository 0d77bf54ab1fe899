-- The fields that a label scene must have (version metropolis-v3.0). One check for scenes that a
-- cluster made and for those of the local profile.

local M = {}

M.VERSION = "metropolis-v3.0"

local Report = {}
Report.__index = Report

function Report:add(message, ...)
  if #self.problems < 20 then -- a broken file repeats itself
    self.problems[#self.problems + 1] = self.file .. ": " .. message:format(...)
  end
end

function Report:wants(value, kind, name)
  local is = type(value)
  if kind == "integer" then
    is = math.type(value) == "integer" and "integer" or is
  end
  if is ~= kind then
    self:add("%s is %s, not %s", name, is, kind)
    return false
  end
  return true
end

function Report:box(box, name, width, height)
  if not self:wants(box, "table", name) then
    return
  end
  for i = 1, 4 do
    if type(box[i]) ~= "number" then
      return self:add("%s has no four numbers", name)
    end
  end
  local inside = box[1] >= 0 and box[2] >= 0 and box[3] <= width and box[4] <= height
  if not inside or box[1] >= box[3] or box[2] >= box[4] then
    self:add("%s is not inside the picture: %s", name, table.concat(box, ", "))
  end
end

local checks = {}

function checks.instances(r, payload)
  for name, one in pairs(payload.instances) do
    r:wants(one.object_type, "string", name .. ".object_type")
    r:wants(one.instance_id, "integer", name .. ".instance_id")
    r:wants(one.semantic_id, "integer", name .. ".semantic_id")
    r:wants(one.caption, "string", name .. ".caption")
    if r:wants(one.color, "table", name .. ".color") and #one.color ~= 3 then
      r:add("%s.color has %d values", name, #one.color)
    end
    if type(one.object_type) == "string" and not name:find("^" .. one.object_type .. "_%d+$") then
      r:add("%s is not named after its class", name)
    end
    if one.object_type == "person" and one.semantic_id ~= 1 then
      r:add("%s.semantic_id is %s, not 1", name, tostring(one.semantic_id))
    end
  end
end

function checks.objects(r, payload, context)
  r:wants(payload.video_id, "string", "video_id")
  local stem = tostring(payload.video_id)
  for key, frame in pairs(payload.frames) do
    if r:wants(frame.frame_number, "integer", key .. ".frame_number") then
      local name = ("%s_frame_%06d"):format(stem, frame.frame_number)
      if key ~= name then
        r:add("frame %s should be %s", key, name)
      end
    end
    if frame.format ~= "png" then
      r:add("%s.format is %s", key, tostring(frame.format))
    end
    for i, one in ipairs(frame.instances) do
      local at = ("%s.instances[%d]"):format(key, i)
      r:wants(one.object_id, "string", at .. ".object_id")
      r:box(one.bounding_box_2d_tight, at .. ".tight", context.width, context.height)
      r:box(one.bounding_box_2d_loose, at .. ".loose", context.width, context.height)
      if context.instances and not context.instances[one.object_id] then
        r:add("%s names %s, which is no instance", at, tostring(one.object_id))
      end
    end
  end
end

function checks.video(r, payload)
  r:wants(payload.video_id, "string", "video_id")
  r:wants(payload.format, "string", "format")
  r:wants(payload.width, "integer", "width")
  r:wants(payload.height, "integer", "height")
  if r:wants(payload.fps, "integer", "fps") and (payload.fps < 1 or payload.fps > 240) then
    r:add("fps is %d", payload.fps)
  end
  if type(payload.duration) ~= "number" then
    r:add("duration is no number of seconds")
  end
end

local function items(r, payload, options)
  for i, one in ipairs(payload.items) do
    local at = ("items[%d]"):format(i)
    r:wants(one.video_id, "string", at .. ".video_id")
    r:wants(one.question, "string", at .. ".question")
    if options and r:wants(one.options, "table", at .. ".options") then
      if not one.options[one.answer] then
        r:add("%s.answer %s is no option", at, tostring(one.answer))
      end
    elseif not options and one.answer ~= "Yes" and one.answer ~= "No" then
      r:add("%s.answer is %s, not Yes or No", at, tostring(one.answer))
    end
  end
end

function checks.mcq(r, payload)
  items(r, payload, true)
end

function checks.bcq(r, payload)
  items(r, payload, false)
end

local HOLDS <const> = { instances = "instances", objects = "frames", mcq = "items", bcq = "items" }

---Checks one decoded file.
---@param kind "instances"|"objects"|"video"|"mcq"|"bcq"
---@param payload any
---@param context { width: integer, height: integer, instances: table? }
---@param file? string its name for messages
---@return string[] problems
function M.check(kind, payload, context, file)
  local r = setmetatable({ problems = {}, file = file or kind }, Report)
  if not r:wants(payload, "table", "the file") then
    return r.problems
  end
  if payload.version ~= M.VERSION then
    r:add("version is %s, not %s", tostring(payload.version), M.VERSION)
  end
  local metadata = payload.metadata
  if type(metadata) ~= "table" or metadata.type ~= kind or type(metadata.date) ~= "string" then
    r:add("metadata has no type %s and date", kind)
  end
  local holds = HOLDS[kind]
  if holds and not r:wants(payload[holds], "table", holds) then
    return r.problems
  end
  checks[kind](r, payload, context)
  return r.problems
end

local STAGES <const> = { "super_resolution", "tracking", "vlm_json", "mcq_generation" }

---Checks pipeline_status.json.
---@param status any
---@return string[] problems
function M.check_status(status)
  local r = setmetatable({ problems = {}, file = "pipeline_status.json" }, Report)
  if not r:wants(status, "table", "the file") or not r:wants(status.stages, "table", "stages") then
    return r.problems
  end
  r:wants(status.degraded, "boolean", "degraded")
  if status.version ~= "1.0" then
    r:add("version is %s", tostring(status.version))
  end
  local expected = status.degraded and "completed_degraded" or "completed"
  if status.status ~= expected then
    r:add("status is %s, not %s", tostring(status.status), expected)
  end
  for _, name in ipairs(STAGES) do
    local stage = status.stages[name]
    if r:wants(stage, "table", "stages." .. name) then
      r:wants(stage.enabled, "boolean", name .. ".enabled")
      r:wants(stage.degraded, "boolean", name .. ".degraded")
      r:wants(stage.status, "string", name .. ".status")
    end
  end
  return r.problems
end

return M
