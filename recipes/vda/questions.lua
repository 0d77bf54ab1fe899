-- Answers the questions of a bank that can be measured, window by window, and aggregates them as
-- the cluster's labeller does. What can't be measured is left out and named with the reason.

local M = {}

M.WINDOW = 60 -- source frames, as on the cluster

local NO_MODEL <const> = "local profile: no vision-language model looks at the picture"
local NO_REFERENCE <const> = "the original has no reference to be measured against"

---Windows of a clip, the last one shorter.
---@param frames integer
---@return { first: integer, last: integer }[] frame numbers, both inclusive
function M.windows(frames)
  local list = {}
  for first = 0, frames - 1, M.WINDOW do
    list[#list + 1] = { first = first, last = math.min(first + M.WINDOW, frames) - 1 }
  end
  return list
end

---Number of different people in each window.
---@param objects table payload of objects.json
---@param windows { first: integer, last: integer }[]
---@return integer[]
function M.crowds(objects, windows)
  local seen = {}
  for i = 1, #windows do
    seen[i] = {}
  end
  for _, frame in pairs(objects.frames) do
    local set = seen[frame.frame_number // M.WINDOW + 1]
    for _, instance in ipairs(set and frame.instances or {}) do
      if instance.object_id:find("^person_") then
        set[instance.object_id] = true
      end
    end
  end
  local counts = {}
  for i, set in ipairs(seen) do
    counts[i] = 0
    for _ in pairs(set) do
      counts[i] = counts[i] + 1
    end
  end
  return counts
end

local function letter_of(question, text)
  for _, option in ipairs(question.options) do
    local letter, rest = option:match("^(%u)%. (.*)$")
    if rest == text then
      return letter
    end
  end
end

local function by_people(question, count)
  local limits = question.measure.people
  if question.options[1] == "Yes" then
    return count > limits[1] and "Yes" or "No"
  end
  for i, limit in ipairs(limits) do
    if count <= limit then
      return question.options[i]:match("^(%u)")
    end
  end
  return question.options[#limits + 1]:match("^(%u)")
end

---@class vda.Facts
---@field crowds integer[] people in each window
---@field attributes? table<string, vda.Verified> of an augmented clip, by variable

---@class vda.Verified
---@field value string
---@field result "passed"|"failed"|"not_measurable"
---@field reason string

-- Answers of one question in all windows, or the reason why there are none.
local function measured(question, facts)
  local measure = question.measure
  if not measure then
    return nil, NO_MODEL
  end
  if measure.people then
    local answers = {}
    for i, count in ipairs(facts.crowds) do
      answers[i] = by_people(question, count)
    end
    return answers
  end
  if not facts.attributes then
    return nil, NO_REFERENCE
  end
  local found = facts.attributes[measure.attribute]
  if not found then
    return nil, measure.attribute .. " was not drawn"
  elseif found.result ~= "passed" then
    return nil, ("%s: %s, %s"):format(measure.attribute, found.result, found.reason)
  end
  local letter = letter_of(question, found.value)
  if not letter then
    return nil, found.value .. " is no option of the question"
  end
  local answers = {}
  for i = 1, #facts.crowds do
    answers[i] = letter
  end
  return answers
end

local function most_frequent(answers)
  local counts, order = {}, {}
  for _, answer in ipairs(answers) do
    if not counts[answer] then
      order[#order + 1] = answer
    end
    counts[answer] = (counts[answer] or 0) + 1
  end
  local best
  for _, answer in ipairs(order) do -- a tie goes to the first seen
    if not best or counts[answer] > counts[best] then
      best = answer
    end
  end
  return best
end

---One answer from those of the windows.
---@param question table
---@param answers string[] at least one
---@return string
function M.aggregate(question, answers)
  local rule = question.aggregation or "supermajority"
  if rule == "first" then
    return answers[1]
  elseif rule == "majority" or rule == "majority_tie_first" then
    return most_frequent(answers)
  end
  local yes = 0
  for _, answer in ipairs(answers) do
    yes = yes + (answer == "Yes" and 1 or 0)
  end
  if rule == "any" then
    return yes > 0 and "Yes" or "No"
  end
  local enough = yes >= (question.min_yes or 1)
  return enough and yes / #answers >= (question.threshold or 0.6) and "Yes" or "No"
end

-- Whether the answers so far forbid a question. One that depends on what was not answered is not
-- forbidden by it.
local function forbidden(question, given)
  for id, answer in pairs(question.include_if or {}) do
    if given[id] ~= nil and given[id] ~= answer then
      return true
    end
  end
  local any = question.include_if_any
  for id, answer in pairs(any or {}) do
    if given[id] == nil or given[id] == answer then
      return false
    end
  end
  return any ~= nil
end

local function reasoning(question, facts)
  if question.measure.people then
    local limits = table.concat(question.measure.people, ", ")
    local counts = table.concat(facts.crowds, ", ")
    return ("people tracked in each window: %s; upper limits of the options: %s"):format(
      counts,
      limits
    )
  end
  return "measured on the augmented clip relative to its source"
end

local function item(question, answer, video_id, facts)
  local out = {
    video_id = video_id,
    question = question.question,
    answer = answer,
    reasoning = reasoning(question, facts),
  }
  if question.options[1] ~= "Yes" then
    out.options = {}
    for _, option in ipairs(question.options) do
      local letter, text = option:match("^(%u)%. (.*)$")
      out.options[letter] = text
    end
  end
  return out
end

---Answers a bank.
---@param bank table[]
---@param facts vda.Facts
---@param video_id string
---@return { mcq: table[], bcq: table[], unanswered: table[] }
function M.answer(bank, facts, video_id)
  local out, given = { mcq = {}, bcq = {}, unanswered = {} }, {}
  for _, question in ipairs(bank) do
    local answers, reason = measured(question, facts)
    if answers and #answers == 0 then
      answers, reason = nil, "the clip has no window"
    end
    if answers and forbidden(question, given) then
      answers, reason = nil, "the question it depends on was answered otherwise"
    end
    if answers then
      local answer = M.aggregate(question, answers)
      given[question.id] = answer
      local list = question.options[1] == "Yes" and out.bcq or out.mcq
      list[#list + 1] = item(question, answer, video_id, facts)
    else
      local entry = { id = question.id, question = question.question, reason = reason }
      out.unanswered[#out.unanswered + 1] = entry
    end
  end
  return out
end

return M
