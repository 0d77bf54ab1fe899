-- How well two sets of boxes of one clip agree: boxes of people, frame by frame, matched greedily
-- by overlap. "How much does the detector lose under this condition" is a result of its own.

local M = {}

---@class vda.Agreement
---@field recall? number absent when the reference has no box
---@field precision? number absent when nothing was detected
---@field mean_iou? number absent when nothing matched
---@field iou_threshold number
---@field matched integer
---@field reference_boxes integer
---@field detected_boxes integer

---@class vda.Counts
---@field tracks integer people
---@field boxes integer of people
---@field frames integer
---@field frames_with_people integer
---@field other_tracks integer

M.IOU = 0.5

local function overlap(a, b)
  local w = math.min(a[3], b[3]) - math.max(a[1], b[1])
  local h = math.min(a[4], b[4]) - math.max(a[2], b[2])
  if w <= 0 or h <= 0 then
    return 0
  end
  local both = w * h
  return both / ((a[3] - a[1]) * (a[4] - a[2]) + (b[3] - b[1]) * (b[4] - b[2]) - both)
end

---People's boxes by frame number.
---@param objects table payload of objects.json
---@return table<integer, number[][]> boxes
---@return integer count
function M.boxes(objects)
  local out, count = {}, 0
  for _, frame in pairs(objects.frames) do
    local list = {}
    for _, instance in ipairs(frame.instances) do
      if instance.object_id:find("^person_") then
        list[#list + 1] = instance.bounding_box_2d_tight
      end
    end
    out[frame.frame_number] = list
    count = count + #list
  end
  return out, count
end

-- Pairs of one frame, best overlap first.
local function match(a, b)
  local pairs_ = {}
  for i, box in ipairs(a) do
    for j, other in ipairs(b) do
      local share = overlap(box, other)
      if share >= M.IOU then
        pairs_[#pairs_ + 1] = { share, i, j }
      end
    end
  end
  table.sort(pairs_, function(x, y)
    if x[1] ~= y[1] then
      return x[1] > y[1]
    end
    return x[2] < y[2] or x[2] == y[2] and x[3] < y[3]
  end)
  local used_a, used_b, count, sum = {}, {}, 0, 0
  for _, pair in ipairs(pairs_) do
    local share, i, j = pair[1], pair[2], pair[3]
    if not used_a[i] and not used_b[j] then
      used_a[i], used_b[j] = true, true
      count, sum = count + 1, sum + share
    end
  end
  return count, sum
end

-- Nothing of nothing is no figure.
local function share(part, whole)
  return whole > 0 and math.floor(part / whole * 10000 + 0.5) / 10000 or nil
end

---Compares detected boxes with those of a reference.
---@param reference table payload of objects.json
---@param detected table payload of objects.json
---@return vda.Agreement
function M.compare(reference, detected)
  local a, a_count = M.boxes(reference)
  local b, b_count = M.boxes(detected)
  local matched, sum = 0, 0
  for number, boxes in pairs(a) do
    local count, shares = match(boxes, b[number] or {})
    matched, sum = matched + count, sum + shares
  end
  return {
    recall = share(matched, a_count),
    precision = share(matched, b_count),
    mean_iou = share(sum, matched),
    iou_threshold = M.IOU,
    matched = matched,
    reference_boxes = a_count,
    detected_boxes = b_count,
  }
end

---What a scene holds, for people to read.
---@param objects table payload of objects.json
---@return vda.Counts
function M.count(objects)
  local out = { tracks = 0, boxes = 0, frames = 0, frames_with_people = 0, other_tracks = 0 }
  local boxes, count = M.boxes(objects)
  out.boxes = count
  for _, list in pairs(boxes) do
    out.frames = out.frames + 1
    out.frames_with_people = out.frames_with_people + (#list > 0 and 1 or 0)
  end
  local seen = {}
  for _, frame in pairs(objects.frames) do
    for _, instance in ipairs(frame.instances) do
      local id = instance.object_id
      if not seen[id] then
        seen[id] = true
        local key = id:find("^person_") and "tracks" or "other_tracks"
        out[key] = out[key] + 1
      end
    end
  end
  return out
end

return M
