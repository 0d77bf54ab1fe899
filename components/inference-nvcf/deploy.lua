-- Nothing is deployed. Each chat endpoint is asked one small question, which is more than a look.
local endpoints = require("inference-nvcf.endpoints")
local look = require("inference-nvcf.look")

local QUESTION <const> = "What is 17 plus 25? Answer with the number only."
local ANSWER <const> = "42"

-- An answer that is not there at once is asked for by its id (NVCF API reference, "pexec").
local function call(ctx, origin, key, wanted, body)
  local url = ("%s/v2/nvcf/pexec/functions/%s"):format(origin, wanted.id)
  if wanted.version then
    url = ("%s/versions/%s"):format(url, wanted.version)
  end
  local res = ctx.http({
    method = "POST",
    url = url,
    bearer = key,
    headers = { ["content-type"] = "application/json", accept = "application/json" },
    body = ctx.json.encode(body),
    timeout = "120s",
    accept = "any",
  })
  if res.status ~= 202 then
    return res
  end
  local id = res.headers["nvcf-reqid"]
  if type(id) == "table" then
    id = id[1]
  end
  if type(id) ~= "string" or not id:find("^[%w-]+$") then
    error("HTTP 202 without an NVCF-REQID to ask for", 0)
  end
  return ctx.wait(function()
    res = ctx.http({
      url = ("%s/v2/nvcf/pexec/status/%s"):format(origin, id),
      bearer = key,
      timeout = "60s",
      accept = "any",
    })
    return res.status ~= 202 and res
  end, { every = "2s", timeout = "10m", what = "the answer of " .. wanted.id })
end

local function ask(ctx, origin, key, wanted)
  local ok, res = pcall(call, ctx, origin, key, wanted, {
    model = wanted.model,
    messages = { { role = "user", content = QUESTION } },
    max_tokens = 16,
    temperature = 0,
  })
  if not ok then
    if type(res) == "table" and res.code == "ECANCELED" then
      error(res, 0)
    end
    return { problem = type(res) == "table" and res.message or tostring(res) }
  elseif res.status ~= 200 then
    return { problem = ("HTTP %d"):format(res.status) }
  end
  local read, doc = pcall(ctx.json.decode, res.body)
  local choice = read and type(doc) == "table" and type(doc.choices) == "table" and doc.choices[1]
  local said = type(choice) == "table"
    and type(choice.message) == "table"
    and choice.message.content
  if type(said) ~= "string" then
    return { problem = "the answer is no chat completion" }
  end
  return { said = said:sub(1, 80) }
end

return {
  summary = "Deploys nothing; looks, and asks each chat endpoint one small question.",
  safety = "observes",
  steps = {
    { name = "endpoints", checks = look.checks },
    {
      name = "calls",
      after = { "endpoints" },
      timeout = "15m",
      when = function(inp)
        return not inp.skip_network, "skip_network=true"
      end,
      run = function(ctx, inp)
        local origin, key = assert(endpoints.origin(inp)), endpoints.key(ctx)
        local work, answers = {}, {}
        for _, wanted in ipairs(endpoints.wanted(inp)) do
          if wanted.task == "chat" then
            work[wanted.id] = function()
              return ask(ctx, origin, key, wanted)
            end
          end
        end
        for id, answer in pairs(ctx.all(work, { limit = 4 })) do
          answers[id] = answer
        end
        return { answers = answers }
      end,
      verify = function(_, inp, got)
        local checks = {}
        for i, wanted in ipairs(endpoints.wanted(inp)) do
          local check = { name = "answer of " .. wanted.id, expected = ANSWER }
          local answer = got.calls.answers[wanted.id]
          if answer then
            local right = answer.said and answer.said:find(ANSWER, 1, true)
            check.state = right and "ok" or "red"
            check.measured = answer.said or answer.problem
            check.hint = "the function is listed as active: look at its log at NGC"
          elseif wanted.task == "video" then
            check.state, check.measured = "warn", "not asked: a video model has no small question"
          else
            check.state = "red"
            check.measured = "not asked: what it is for is not known"
            check.hint = "give it by the input of its model, such as llama31_8b=URL"
          end
          checks[i] = check
        end
        if #checks == 0 then
          checks[1] = { name = "endpoints", state = "skipped", measured = "none is referenced" }
        end
        return checks
      end,
    },
  },
  examples = { "pai deploy inference-nvcf", "pai preflight inference-nvcf functions=ID" },
}
