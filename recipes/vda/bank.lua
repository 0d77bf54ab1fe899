-- Builds the question banks of the cookbooks, and checks them: a bank that asks for an answer that
-- can't be given is found here and not in a run.

local M = {}

local LETTERS <const> = "ABCDEFGH"

---A question with Yes or No; one window with Yes is enough.
---@param id string
---@param question string
---@param more? { include_if?: table, include_if_any?: table, measure?: table }
---@return table
function M.yes_no(id, question, more)
  more = more or {}
  return {
    id = id,
    question = question,
    options = { "Yes", "No" },
    aggregation = "any",
    include_if = more.include_if,
    include_if_any = more.include_if_any,
    measure = more.measure,
  }
end

---A question with lettered options; the most frequent answer over the windows counts.
---@param id string
---@param question string
---@param options string[] without letters
---@param more? { include_if?: table, include_if_any?: table, measure?: table }
---@return table
function M.choice(id, question, options, more)
  local q = M.yes_no(id, question, more)
  q.aggregation, q.options = "majority", {}
  for i, option in ipairs(options) do
    q.options[i] = ("%s. %s"):format(LETTERS:sub(i, i), option)
  end
  return q
end

---The question after a drawn variable: its values are the options.
---@param id string
---@param question string
---@param variable string
---@param values string[]
---@return table
function M.drawn(id, question, variable, values)
  return M.choice(id, question, values, { measure = { attribute = variable } })
end

---How many people there are, by upper limits of the classes.
---@param id string
---@param question string
---@param options string[]
---@param limits integer[] greatest number of people of each option but the last
---@return table
function M.crowd(id, question, options, limits)
  return M.choice(id, question, options, { measure = { people = limits } })
end

-- Conditions name questions of the bank and answers that these can have.
local function check_condition(q, condition, known, problems)
  for id, answer in pairs(condition or {}) do
    local other = known[id]
    local can = false
    for _, option in ipairs(other and other.options or {}) do
      can = can or option == answer or option:match("^(%u)%.") == answer
    end
    if not can then
      problems[#problems + 1] = ("%s depends on %s = %s, which can't be"):format(q.id, id, answer)
    end
  end
end

local AGGREGATIONS <const> = {
  any = true,
  majority = true,
  majority_tie_first = true,
  first = true,
  supermajority = true,
}

---What is wrong with a bank; nothing if it is sound.
---@param questions table[]
---@return string[] problems
function M.problems(questions)
  local known, problems = {}, {}
  for _, q in ipairs(questions) do
    if known[q.id] then
      problems[#problems + 1] = q.id .. " is there twice"
    end
    known[q.id] = q
  end
  for _, q in ipairs(questions) do
    if not AGGREGATIONS[q.aggregation] then
      problems[#problems + 1] = ("%s: unknown aggregation %s"):format(q.id, tostring(q.aggregation))
    end
    if #q.options < 2 then
      problems[#problems + 1] = q.id .. " has no choice"
    end
    check_condition(q, q.include_if, known, problems)
    check_condition(q, q.include_if_any, known, problems)
  end
  return problems
end

return M
