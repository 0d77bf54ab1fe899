-- One deployment a model, then a question to each: a model that does not answer is red.
local foundry = require("inference-azure.foundry")

local QUESTION <const> = "Say hello in one word"

-- The version that the account lists as the default one of a model.
local function offered(ctx, inp, at, name)
  local entry = foundry.CATALOG[name]
  local list, e = ctx.tools.az.ask(foundry.about(inp, at, { "list-models" }))
  if e then
    error(e, 0)
  end
  local found
  for _, model in ipairs(list) do
    if model.name == entry.model and model.format == entry.format then
      found = (not found or model.isDefaultVersion) and model or found
    end
  end
  if not found then
    error(("%s offers no %s (%s)"):format(at.account, entry.model, entry.format), 0)
  end
  local skus = {}
  for _, sku in ipairs(found.skus or {}) do
    skus[#skus + 1] = sku.name
    if sku.name == inp.sku then
      return found
    end
  end
  local message = "%s is not offered as %s; there are: %s"
  error(message:format(entry.model, inp.sku, table.concat(skus, ", ")), 0)
end

local function items(_, inp)
  local list = {}
  for i, name in ipairs(inp.models) do
    list[i] = { key = name }
  end
  return list
end

return {
  summary = "Deploys models in the Foundry account and asks each one a question.",
  safety = "changes",
  inputs = {
    subscription = { type = "string", doc = "Id or name of the subscription that pays." },
  },
  locks = function(inp)
    return { "foundry:" .. (inp.account or inp.dir) }
  end,
  steps = {
    {
      name = "preflight",
      use = "inference-azure.preflight",
      with = function(inp)
        return inp
      end,
    },
    {
      name = "target",
      after = { "preflight" },
      safety = "observes",
      timeout = "5m",
      run = foundry.target,
    },
    {
      name = "model",
      after = { "target" },
      each = items,
      limit = 2,
      timeout = "40m",
      done = function(ctx, inp, got, item)
        local found = foundry.deployment(ctx, inp, got.target, item.key)
        if not found then
          return nil
        elseif found.properties.model.name ~= foundry.CATALOG[item.key].model then
          if inp.replace then
            return nil
          end
          local message = "the deployment %s has the model %s: pass replace=true to delete it"
          error(message:format(item.key, found.properties.model.name), 0)
        end
        local state = found.properties.provisioningState
        return state == "Succeeded" and { version = found.properties.model.version } or nil
      end,
      run = function(ctx, inp, got, item)
        local at, az = got.target, ctx.tools.az
        local model = offered(ctx, inp, at, item.key)
        local there = foundry.deployment(ctx, inp, at, item.key)
        if there and there.properties.model.name ~= model.name then
          az.act(
            foundry.about(inp, at, { "deployment", "delete", "--deployment-name", item.key }),
            { timeout = "10m" }
          )
        end
        local words = { "deployment", "create", "--deployment-name", item.key }
        for _, word in ipairs({
          "--model-name",
          model.name,
          "--model-version",
          model.version,
          "--model-format",
          model.format,
          "--sku-name",
          inp.sku,
          "--sku-capacity",
          tostring(inp.capacity),
        }) do
          words[#words + 1] = word
        end
        az.act(foundry.about(inp, at, words), { timeout = "30m" })
        return { version = model.version }
      end,
      verify = function(ctx, inp, got, item)
        return { foundry.check(ctx, inp, got.target, item.key) }
      end,
    },
    {
      name = "answer",
      after = { "model" },
      each = items,
      limit = 2,
      safety = "observes",
      timeout = "5m",
      run = function(ctx, inp, got, item)
        local at = got.target
        local key = ctx.tools.az.account_key({
          subscription = inp.subscription,
          group = at.group,
          account = at.account,
        })
        local r = ctx.http({
          url = ("%s/models/chat/completions?api-version=%s"):format(at.endpoint, foundry.LOCK.api),
          method = "POST",
          headers = { ["api-key"] = key, ["content-type"] = "application/json" },
          body = ctx.json.encode({
            model = item.key,
            -- A model that reasons spends tokens before it says anything.
            max_tokens = item.key == "deepseek-r1" and 512 or 10,
            messages = { { role = "user", content = QUESTION } },
          }),
          timeout = "2m",
          accept = "any",
        })
        local said
        if r.status == 200 then
          local answer = ctx.json.decode(r.body)
          local choice = (answer.choices or {})[1]
          said = choice and choice.message and choice.message.content
        end
        return { status = r.status, said = type(said) == "string" and said:sub(-200) or "" }
      end,
      verify = function(_, _, got, item)
        local answer = got.answer[item.key]
        local right = answer.status == 200 and answer.said:lower():find("hello", 1, true)
        return {
          {
            name = "answer of " .. item.key,
            state = right and "ok" or "red",
            measured = answer.status == 200 and answer.said or ("HTTP %d"):format(answer.status),
            expected = "hello",
            hint = "401, 403: disableLocalAuth or network rules; 404: the deployment is new, "
              .. "wait a minute; 429: capacity=",
          },
        }
      end,
    },
  },
  returns = {
    endpoint = { type = "string", from = "target.endpoint", doc = "URL of the model API." },
  },
  examples = { "pai deploy inference-azure subscription=robots models=llama-3-1-8b" },
}
