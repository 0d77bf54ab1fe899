-- What can be seen of NVCF without changing anything: one listing answers all of it.
local endpoints = require("inference-nvcf.endpoints")

local M = {}

local EXPLAIN <const> = {
  [401] = "a personal key is refused: make a key of the NGC organisation",
  [403] = "the key is of another organisation: match the NGC organisation to Brev's",
  [429] = "too many requests: wait a minute",
}

-- Lists once, however many checks ask; the others wait for the first.
local function lister(ctx, inp)
  local asked, answer
  return function()
    if not asked then
      asked = true
      local origin, problem = endpoints.origin(inp)
      local ok, res = pcall(function()
        assert(origin, problem)
        return ctx.http({
          url = origin .. "/v2/nvcf/functions",
          bearer = endpoints.key(ctx),
          timeout = "15s",
          accept = "any",
        })
      end)
      if not ok and type(res) == "table" and res.code == "ECANCELED" then
        answer = { problem = "stopped" }
        error(res, 0)
      end
      answer = ok and { status = res.status, body = res.body }
        or { problem = type(res) == "table" and res.message or tostring(res) }
      if answer.status == 200 then
        local read, doc = pcall(ctx.json.decode, res.body)
        local list = read and type(doc) == "table" and doc.functions
        answer.functions = type(list) == "table" and list or nil
      end
    end
    return ctx.wait(function()
      return answer
    end, { every = "10ms", timeout = "20s", what = "the list of functions" })
  end
end

local function by_id(functions)
  local map = {}
  for _, f in ipairs(functions) do
    if type(f) == "table" and type(f.id) == "string" then
      local id = f.id:lower()
      map[id] = map[id] or {}
      table.insert(map[id], f)
    end
  end
  return map
end

local function state_of(wanted, found)
  local versions = {}
  for _, f in ipairs(found) do
    local fits = not wanted.version or wanted.version == f.versionId
    if fits and f.status == "ACTIVE" then
      return "ok", ("%s is ACTIVE"):format(f.name or wanted.id)
    elseif fits then
      versions[#versions + 1] = ("%s is %s"):format(f.name or "?", tostring(f.status))
    end
  end
  if #versions == 0 then
    return "red", "this version is not listed"
  end
  return "red", table.concat(versions, ", ")
end

local function function_check(wanted, listing)
  return {
    name = "function " .. (wanted.id or wanted.from),
    expected = "listed and ACTIVE",
    hint = ("%s comes from the input %s; ask the function's owner"):format(
      wanted.value,
      wanted.from
    ),
    run = function()
      if wanted.problem then
        return { state = "red", measured = wanted.problem }
      end
      local answer = listing()
      if not answer.functions then
        return { state = "unknown", measured = "there is no list of functions to look at" }
      end
      local found = by_id(answer.functions)[wanted.id]
      if not found then
        return { state = "red", measured = "not among the key's functions" }
      end
      local state, measured = state_of(wanted, found)
      return { state = state, measured = measured }
    end,
  }
end

local function key_check(ctx)
  return {
    name = "NGC_API_KEY",
    expected = "set",
    hint = "pai secret set NGC_API_KEY; NVCF_API_KEY is taken too",
    run = function()
      local there = endpoints.key(ctx) ~= nil
      return { state = there and "ok" or "red", measured = there and "set" or "not set" }
    end,
  }
end

local function reachable(inp, listing)
  return {
    name = "NVCF reachable",
    expected = "any HTTP answer from " .. inp.api,
    hint = "look at proxy and firewall",
    run = function()
      local answer = listing()
      return {
        state = answer.status and "ok" or "red",
        measured = answer.problem or ("HTTP %d"):format(answer.status),
      }
    end,
  }
end

local function authorised(listing)
  return {
    name = "NVCF authorised",
    expected = "HTTP 200 with a list of functions",
    run = function()
      local answer = listing()
      if not answer.status then
        return { state = "unknown", measured = "there was no answer" }
      elseif answer.status ~= 200 then
        return {
          state = "red",
          measured = ("HTTP %d"):format(answer.status),
          hint = EXPLAIN[answer.status] or "the API has trouble of its own: ask again later",
        }
      elseif not answer.functions then
        return { state = "red", measured = "HTTP 200, but no list of functions in it" }
      elseif #answer.functions == 0 then
        return {
          state = "red",
          measured = "no function is deployed",
          hint = "ask the functions' owner",
        }
      end
      return { state = "ok", measured = ("%d functions"):format(#answer.functions) }
    end,
  }
end

---All checks.
---@param ctx pai.ctx
---@param inp table
---@return table[]
function M.checks(ctx, inp)
  local wanted = endpoints.wanted(inp)
  local checks = { key_check(ctx) }
  if inp.skip_network then
    checks[2] = { name = "NVCF", state = "skipped", measured = "skip_network=true" }
    for _, one in ipairs(wanted) do
      local state = one.problem and "red" or "skipped"
      checks[#checks + 1] = {
        name = "function " .. (one.id or one.from),
        state = state,
        measured = one.problem or "skip_network=true",
      }
    end
    return checks
  elseif not endpoints.key(ctx) then
    checks[2] = { name = "NVCF", state = "skipped", measured = "there is no key to ask with" }
    return checks
  end
  local listing = lister(ctx, inp)
  checks[2] = reachable(inp, listing)
  checks[3] = authorised(listing)
  for _, one in ipairs(wanted) do
    checks[#checks + 1] = function_check(one, listing)
  end
  return checks
end

return M
