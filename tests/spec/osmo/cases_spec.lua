-- The public cases: specs with the verdicts that upstream's own code gives them.
local peer = dofile("tests/spec/osmo/peer.lua")
local err = require("pai.err")
local json = require("pai.json")
local spec = require("pai.osmo.spec")

-- The pool that the verdicts were taken with.
local POOL = { topology_keys = { "rack", "zone", "gpu-clique", "node" } }

-- Why two values of JSON differ, as a path; nil when they do not. 60 and 60.0 are one number.
local function difference(a, b, path)
  if type(a) ~= type(b) then
    return ("%s: a %s, not a %s"):format(path, type(a), type(b))
  elseif type(a) ~= "table" then
    return a ~= b and ("%s: %s, not %s"):format(path, tostring(a), tostring(b)) or nil
  end
  for key, item in pairs(b) do
    local found = difference(a[key], item, path .. "." .. tostring(key))
    if found then
      return found
    end
  end
  for key in pairs(a) do
    if b[key] == nil then
      return ("%s.%s: should not be there"):format(path, tostring(key))
    end
  end
  return nil
end

local MEMBERS = { "stage", "http", "code", "render" }

-- What is wrong with a result; nil when it is that of the case.
local function mismatch(case, result, e)
  if case.verdict == "ok" then
    if not result then
      return "should be ok, but: " .. e.message
    end
    return difference(spec.rendered_form(result), case.rendered, "rendered")
  elseif result then
    return "should fail in the stage " .. case.stage
  end
  local got = { stage = e.stage, http = e.http, code = e.error_code, render = e.render }
  for _, name in ipairs(MEMBERS) do
    if got[name] ~= case[name] then
      local message = "%s: %s, not %s (%s)"
      return message:format(name, tostring(got[name]), tostring(case[name]), e.message)
    end
  end
  return case.at and difference(e.at, case.at, "at") or nil
end

local function options(case)
  return {
    variables = case.set,
    string_variables = case.set_string,
    labels = case.label,
    env = case.env_vars,
    pool = POOL,
    dir = "/beside",
    read = function(path)
      local text = (case.beside or {})[path:gsub("^/beside/", "")]
      if not text then
        return err.fail("ENOENT", "no such file")
      end
      return text
    end,
  }
end

local cases = {}
for i, line in ipairs(peer.case_lines("cases.jsonl")) do
  cases[i] = assert(json.decode(line))
end

-- The same members for one direct request; the client's part is not in it.
local function direct(case)
  local members = {}
  for key, item in pairs(case.api or case) do
    members[key] = item
  end
  members.render = nil
  return members
end

for _, group in ipairs({ { "public cases", nil }, { "public cases, odd", true } }) do
  describe(group[1], function()
    for _, case in ipairs(cases) do
      if case.odd == group[2] then
        it(("%s: %s"):format(case.id, case.note), function()
          local result, e = spec.submit(case.spec, options(case))
          assert.is_nil(mismatch(case, result, e))
          result, e = spec.load(case.spec, options(case))
          assert.is_nil(mismatch(direct(case), result, e))
        end)
      end
    end
  end)
end

describe("the judge of the cases", function()
  local function first(verdict)
    for _, case in ipairs(cases) do
      if case.verdict == verdict then
        return case, spec.submit(case.spec, options(case))
      end
    end
  end

  it("has all of them", function()
    assert.is_true(#cases >= 180)
  end)

  it("sees a wrong result", function()
    local case, result = first("ok")
    assert.is_nil(mismatch(case, result))
    result.groups[1].tasks[1].image = "other"
    assert.equal(
      "rendered.groups.1.tasks.1.image: other, not " .. case.rendered.groups[1].tasks[1].image,
      mismatch(case, result)
    )
  end)

  it("sees a wrong verdict, stage and member", function()
    local case, _, e = first("fail")
    assert.is_nil(mismatch(case, nil, e))
    assert.is_string(mismatch({ verdict = "ok" }, nil, e))
    assert.is_string(mismatch(case, {}))
    e.stage = "limits"
    assert.truthy(mismatch(case, nil, e):find("stage: limits", 1, true))
  end)

  it("gives every failure a message", function()
    for _, case in ipairs(cases) do
      local _, e = spec.submit(case.spec, options(case))
      if e then
        assert.is_true(err.is(e, "ESPEC"))
        assert.truthy(#e.message > 10, case.id)
      end
    end
  end)
end)
