-- What a run says of itself: the summary and the sections of the report.
local M = {}

M.LOCAL = "Local profile: classical image processing (colour, haze, particles, sensor noise), "
  .. "not Cosmos Transfer. Nothing was generated; no lamp was lit and no shadow cast."
M.LABELS = "Labels are of people only, from OpenCV's HOG detector and a motion model; "
  .. "no vision-language model answered a question."

local function demo_notice(source)
  return ("Demo input was used: the first part of vtest.avi from Debian's opencv-doc (%s)."):format(
    source.credit or "no credit known"
  )
end

---What a reader must know first.
---@param source vda.Source?
---@return string[]
function M.notices(source)
  local list = { M.LOCAL, M.LABELS }
  if source and source.demo then
    table.insert(list, 1, demo_notice(source))
  end
  return list
end

local function sorted(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

---Drawn values as text: "time_of_day morning, weather fog".
---@param conditions table<string, string>
---@return string
function M.conditions(conditions)
  local parts = {}
  for i, name in ipairs(sorted(conditions)) do
    parts[i] = name .. " " .. conditions[name]
  end
  return table.concat(parts, ", ")
end

local function labels_line(what, l)
  return ("%s: %d people in %d boxes, in %d of %d frames"):format(
    what,
    l.tracks,
    l.boxes,
    l.frames_with_people,
    l.frames
  )
end

local function agreement_line(a)
  if a.reference_boxes == 0 or a.detected_boxes == 0 then
    return ("labels can't be compared: %d boxes in the original, %d here"):format(
      a.reference_boxes,
      a.detected_boxes
    )
  end
  local text = "labels agree with the original's: recall %.3f, precision %.3f, mean IoU %.3f, "
    .. "counting boxes with IoU of at least %.1f"
  return text:format(a.recall, a.precision, a.mean_iou or 0, a.iou_threshold)
end

local function motion_line(m)
  local line = ("%.3f, at least %.3f"):format(m.score, m.threshold)
  if m.particles then
    line = line .. (", without particles; %.3f with them"):format(m.with_particles)
  end
  return line
end

---The summary, a line each.
---@param source vda.Source
---@param found table of evidence.make
---@return string[]
function M.summary(source, found)
  local lines = M.notices(source)
  for _, note in ipairs(source.notes) do
    lines[#lines + 1] = "input: " .. note
  end
  if found.original then
    lines[#lines + 1] = labels_line("original", found.original.labels)
  end
  for i, one in ipairs(found.augmented) do
    local name = ("augmentation %d"):format(i - 1)
    lines[#lines + 1] = ("%s: %s"):format(name, M.conditions(one.conditions))
    if not found.original then
      lines[#lines + 1] = labels_line(name .. ": source, for comparison", one.source_labels)
    end
    lines[#lines + 1] = labels_line(name, one.labels)
    lines[#lines + 1] = name .. ": " .. agreement_line(one.agreement)
    lines[#lines + 1] = ("%s: motion check %s"):format(name, motion_line(one.motion))
  end
  return lines
end

local function media(found)
  local items = {}
  for i, one in ipairs(found.augmented) do
    local caption = ("Source and augmentation %d: %s"):format(i - 1, M.conditions(one.conditions))
    items[#items + 1] = { path = one.compare, caption = caption, kind = "video" }
    local labels = ("Labels of augmentation %d"):format(i - 1)
    items[#items + 1] = { path = one.overlay, caption = labels, kind = "video" }
  end
  if found.original then
    local item = { path = found.original.overlay, caption = "Labels of the source", kind = "video" }
    items[#items + 1] = item
  end
  return items
end

---Files of evidence of a run, in the order in which they are shown.
---@param found table
---@return string[]
function M.files(found)
  local list = {}
  for i, item in ipairs(media(found)) do
    list[i] = item.path
  end
  return list
end

local function label_rows(found)
  local rows, bars, answers = {}, {}, {}
  local function row(name, l, a)
    local asked = a and a.answered or "-"
    local left = a and a.unanswered or "-"
    rows[#rows + 1] = { name, l.tracks, l.boxes, l.frames_with_people, l.frames, asked, left }
    bars[#bars + 1] = { label = name, value = l.boxes }
    for _, item in ipairs(a and a.items or {}) do
      answers[#answers + 1] = { name, item.question, item.answer }
    end
  end
  if found.original then
    row("original", found.original.labels, found.original.answers)
  elseif found.augmented[1] then
    row("source, for comparison", found.augmented[1].source_labels)
  end
  for i, one in ipairs(found.augmented) do
    row(("augmentation %d"):format(i - 1), one.labels, one.answers)
  end
  return rows, bars, answers
end

local function condition_rows(found)
  local rows, agreement = {}, {}
  for i, one in ipairs(found.augmented) do
    for _, r in ipairs(one.attributes) do
      rows[#rows + 1] = { i - 1, r.variable, r.value, r.result, r.reason }
    end
    local a, m = one.agreement, one.motion
    local recall, precision, iou = a.recall or "-", a.precision or "-", a.mean_iou or "-"
    agreement[i] = { i - 1, recall, precision, iou, a.matched, m.score, m.threshold }
  end
  return rows, agreement
end

-- Seconds a frame of 768x576, quiet and busy; measured on two cores.
local COST <const> = {
  input = { 0.006, 0.05 },
  label = { 0.035, 0.25 },
  augment = { 0.035, 0.25 },
  compare = { 0.025, 0.15 },
}

---Phases of a run with their shortest and longest time.
---@param inp table
---@param video vda.Video? nil for the demo
---@param fetch boolean the demo has to be downloaded first
---@return table[]
function M.estimate(inp, video, fetch)
  local fps, seconds, size = 10, 80, 1
  if video then
    local top, bottom = video.rate:match("(%d+)/(%d+)")
    fps, seconds = tonumber(top) / tonumber(bottom), video.duration or 600
    size = math.max(0.2, video.width * video.height / (768 * 576))
  end
  if inp.seconds > 0 then
    seconds = math.min(seconds, inp.seconds)
  end
  local frames = fps * seconds * size
  local phases = {}
  if fetch then
    phases[1] = { name = "fetch the demo video", min_s = 5, max_s = 180 }
  end
  local function phase(name, cost, times)
    local min, max = 1 + frames * cost[1] * times, 3 + frames * cost[2] * times
    phases[#phases + 1] = { name = name, min_s = min, max_s = max }
  end
  phase("make the clip", COST.input, 1)
  if inp.flow ~= "auto_labeling" then
    phase("augment", COST.augment, inp.augmentations)
  end
  local labelled = inp.flow == "auto_labeling" and 1 or inp.augmentations + 1
  phase("label", COST.label, labelled)
  if inp.flow ~= "auto_labeling" then
    phase("side by side", COST.compare, inp.augmentations)
  end
  return phases
end

---The report of a run, from what there is.
---@param source vda.Source?
---@param found table? of evidence.make
---@return table
function M.report(source, found)
  local report = { title = "Video data augmentation", notices = M.notices(source), sections = {} }
  local function add(section)
    report.sections[#report.sections + 1] = section
  end
  if found then
    add({ title = "Videos", kind = "media", items = media(found) })
    local rows, bars, answers = label_rows(found)
    if #found.augmented > 0 then
      local conditions, agreement = condition_rows(found)
      add({
        title = "Drawn conditions, verified by measurement",
        kind = "table",
        columns = { "Augmentation", "Variable", "Drawn", "Result", "Why" },
        rows = conditions,
      })
      add({
        title = "Agreement of the labels with those of the source",
        kind = "table",
        columns = {
          "Augmentation",
          "Recall",
          "Precision",
          "Mean IoU",
          "Matched",
          "Motion",
          "Least",
        },
        rows = agreement,
      })
    end
    add({
      title = "Labels",
      kind = "table",
      columns = { "Clip", "People", "Boxes", "Frames with people", "Frames", "Answered", "Not" },
      rows = rows,
    })
    add({ title = "Boxes", kind = "bars", items = bars })
    add({
      title = "Questions that could be measured",
      kind = "table",
      columns = { "Clip", "Question", "Answer" },
      rows = answers,
    })
  end
  if source then
    local rows = {
      { "file", source.original },
      { "size", ("%dx%d"):format(source.width, source.height) },
      { "frames", ("%d at %s a second"):format(source.frames, source.rate) },
      { "done to it", #source.notes > 0 and table.concat(source.notes, "; ") or "nothing" },
    }
    add({ title = "Input", kind = "table", columns = { "What", "Value" }, rows = rows })
  end
  return report
end

return M
