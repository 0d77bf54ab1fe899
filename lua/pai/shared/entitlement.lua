-- What has to be had from outside before anything is deployed: charts in the version of the lock,
-- images with the right to pull them, models behind a licence. Each is one small question. Their
-- origins can be mirrors, and tests' own servers.
local registry = require("pai.shared.registry")

local M = {}

local NGC <const> = "https://helm.ngc.nvidia.com"
-- NGC takes a key as the password of this user, for images and for charts.
local NGC_USER <const> = "$oauthtoken"

---What a component that has these checks declares beside its own.
M.INPUTS = {
  skip_network = {
    type = "boolean",
    env = "PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK",
    default = false,
    doc = "Leave out what asks the network: the cluster gets it another way.",
  },
  registry = {
    type = "string",
    optional = true,
    doc = "Origin that mirrors all image registries, as the nodes know it; else each its own.",
  },
  charts = {
    type = "string",
    default = NGC,
    doc = "Origin of NGC's charts, or of a mirror of it.",
  },
}

---Where the NGC key may go for them.
M.KEY_HOSTS = { "nvcr.io", "helm.ngc.nvidia.com", "@registry", "@charts" }

---What is asked.
M.HOSTS = { "helm.ngc.nvidia.com", "@registry", "@charts", table.unpack(registry.HOSTS) }

---A list of hosts with more of them.
---@param list string[]
---@param ... string
---@return string[]
function M.hosts(list, ...)
  local out = { ... }
  return table.move(list, 1, #list, #out + 1, out)
end

---A chart repository of NGC, or its mirror.
---@param inp table
---@param repo string a URL of the lock
---@return string
function M.repo(inp, repo)
  local rest = repo:sub(1, #NGC) == NGC and repo:sub(#NGC + 1)
  return rest and (inp.charts or NGC):gsub("/+$", "") .. rest or repo
end

local function skipped(name, why)
  return { { name = name, state = "skipped", measured = why } }
end

---Checks of images.
---@param ctx pai.ctx
---@param inp table of M.INPUTS, and `ngc`
---@param images string[] full names
---@return table[] checks
function M.images(ctx, inp, images)
  if inp.skip_network then
    return skipped("images", "skip_network=true")
  end
  local key, asked, left = ctx.secret("ngc"), {}, 0
  for _, image in ipairs(images) do
    local locked = not key and registry.parts(image) == "nvcr.io"
    left = left + (locked and 1 or 0)
    asked[#asked + 1] = not locked and image or nil
  end
  local checks = registry.checks(ctx, asked, {
    mirror = inp.registry,
    logins = { ["nvcr.io"] = key and { NGC_USER, key } or nil },
  })
  if left > 0 then
    checks[#checks + 1] = {
      name = "images of nvcr.io",
      state = "skipped",
      measured = ("there is no key to ask for %d images with"):format(left),
    }
  end
  return checks
end

local REFUSED <const> = {
  [401] = "the key is not accepted: is it one of the organisation, and not expired?",
  [403] = "the key may not read this repository",
  [404] = "there is no such repository",
}

local function bare(version)
  return (tostring(version):gsub("^v", ""))
end

-- Versions of a chart in an index (Helm, "The chart repository": entries by name).
local function has(index, chart, version)
  local entries = type(index) == "table" and type(index.entries) == "table" and index.entries
  local list = entries and entries[chart]
  for _, entry in ipairs(type(list) == "table" and list or {}) do
    if type(entry) == "table" and bare(entry.version) == bare(version) then
      return true
    end
  end
  return false, type(list) == "table" and #list or 0
end

-- What an index says of these charts. NGC's has megabytes, of which a few lines matter: where it is
-- laid out as Helm writes it, the parts of these charts are cut out and only they are read. A
-- chart that is not found so is looked for in the whole.
local function entries_of(ctx, text, names)
  local parts = { "entries:" }
  for _, name in ipairs(names) do
    local _, from = text:find("\n  " .. name .. ":\n", 1, true)
    local to = from and (text:find("\n ? ?[^%s-]", from) or #text + 1)
    if not from then
      return ctx.yaml.decode(text)
    end
    parts[#parts + 1] = "  " .. name .. ":\n" .. text:sub(from + 1, to - 1)
  end
  return ctx.yaml.decode(table.concat(parts, "\n") .. "\n")
end

-- The index of a repository: to everybody first, then to the key.
local function index_of(ctx, url, key)
  local ask = { url = url .. "/index.yaml", timeout = "25s", accept = "any" }
  local answer = ctx.http(ask)
  if key and (answer.status == 401 or answer.status == 403) then
    ask.basic = { NGC_USER, key }
    answer = ctx.http(ask)
  end
  return answer
end

---A check that charts are in a repository in these versions; one request for all of them.
---@param ctx pai.ctx
---@param inp table
---@param repo string URL of the lock
---@param wanted table<string, string> version by chart
---@return table[] checks
function M.charts(ctx, inp, repo, wanted)
  local url = M.repo(inp, repo)
  local names, said = {}, {}
  for name in pairs(wanted) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    said[i] = ("%s %s"):format(name, wanted[name])
  end
  if inp.skip_network then
    return skipped("charts of " .. url, "skip_network=true")
  end
  return {
    {
      name = "charts of " .. url,
      expected = table.concat(said, ", "),
      hint = "the versions are the lock's: a chart that was taken back needs a newer pai",
      timeout = "60s",
      run = function()
        local answer = index_of(ctx, url, ctx.secret("ngc"))
        if answer.status ~= 200 then
          return {
            state = answer.status < 500 and "red" or "unknown",
            measured = ("HTTP %d"):format(answer.status),
            hint = REFUSED[answer.status] or "ask again later",
          }
        end
        local ok, index = pcall(entries_of, ctx, answer.body, names)
        if not ok then
          return { state = "red", measured = "index.yaml can't be read: " .. tostring(index) }
        end
        local missing = {}
        for _, name in ipairs(names) do
          local there, others = has(index, name, wanted[name])
          if not there then
            local what = others > 0 and ("no %s among %d versions"):format(wanted[name], others)
            missing[#missing + 1] = ("%s: %s"):format(name, what or "no such chart")
          end
        end
        local fine = #missing == 0
        return {
          state = fine and "ok" or "red",
          measured = fine and "there" or table.concat(missing, "; "),
        }
      end,
    },
  }
end

---A check of a chart that is an archive at a URL of its own. GitHub leads a release elsewhere;
---that it does says that it is there.
---@param ctx pai.ctx
---@param inp table
---@param url string
---@return table[] checks
function M.archive(ctx, inp, url)
  local name = "chart " .. (url:match("([^/]+)$") or url)
  if inp.skip_network then
    return skipped(name, "skip_network=true")
  end
  return {
    {
      name = name,
      expected = "there",
      hint = "a firewall or a proxy in the way of " .. url,
      run = function()
        local answer = ctx.http({ url = url, method = "HEAD", timeout = "25s", accept = "any" })
        local there = answer.status >= 200 and answer.status < 400
        local measured = ("HTTP %d"):format(answer.status)
        return { state = there and "ok" or "red", measured = measured }
      end,
    },
  }
end

---A verdict, and with it those of checks that count only because of it: the first that is not
---green takes its place.
---@param found { state: string, measured: string }
---@param checks table[]
---@return table found
function M.also(found, checks)
  for _, check in ipairs(checks) do
    local one = check.run and check.run() or check
    if one.state == "red" or one.state == "unknown" then
      return {
        state = one.state,
        measured = ("%s; %s: %s"):format(found.measured, check.name, one.measured),
        hint = one.hint or check.hint,
      }
    end
  end
  return found
end

-- Hugging Face Hub, "auth-check" (huggingface_hub: HfApi.auth_check): 200 to whoever may download;
-- the header X-Error-Code tells GatedRepo from RepoNotFound.
local function model_check(ctx, inp, repository)
  local page = ("%s/%s"):format(inp.hf_endpoint, repository)
  local explain = {
    [401] = "HF_TOKEN is not accepted, or the model is for those who are logged in",
    [403] = "ask for access at " .. page .. " with the account of HF_TOKEN",
    [404] = "there is no such model, or HF_TOKEN may not see it",
    [429] = "too many requests from here: wait",
  }
  return {
    name = "model " .. repository,
    expected = "may be downloaded",
    run = function()
      local answer = ctx.http({
        url = ("%s/api/models/%s/auth-check"):format(inp.hf_endpoint, repository),
        bearer = ctx.secret("hf"),
        timeout = "25s",
        accept = "any",
      })
      local state = answer.status == 200 and "ok" or "red"
      if answer.status == 429 then
        state = "warn"
      elseif answer.status >= 500 then
        state = "unknown"
      end
      local code = answer.headers["x-error-code"]
      return {
        state = state,
        measured = ("HTTP %d%s"):format(answer.status, code and ", " .. code or ""),
        hint = explain[answer.status],
      }
    end,
  }
end

---The input of a component whose models come from Hugging Face.
M.HF_ENDPOINT = {
  type = "string",
  default = "https://huggingface.co",
  doc = "Where models of Hugging Face are downloaded from.",
}

---Checks of models at Hugging Face.
---@param ctx pai.ctx
---@param inp table with hf_endpoint, `hf` and skip_network
---@param repositories string[]
---@return table[] checks
function M.models(ctx, inp, repositories)
  if inp.skip_network then
    return skipped("models", "skip_network=true")
  end
  local checks = {}
  for i, repository in ipairs(repositories) do
    checks[i] = model_check(ctx, inp, repository)
  end
  return checks
end

return M
