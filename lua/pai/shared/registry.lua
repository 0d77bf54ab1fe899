-- Whether images may be pulled: the token that a registry hands out, then each manifest. The
-- distribution specification, "Checking if content exists in the registry"; the token by the
-- challenge of a 401, as the Docker registry's token authentication has it. A HEAD moves nothing
-- and counts as no pull at Docker Hub.
local M = {}

local ACCEPT <const> = table.concat({
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
}, ", ")

-- Docker Hub's API is not at the name that its images have.
local ORIGINS <const> = { ["docker.io"] = "https://registry-1.docker.io" }

---The hosts that are asked for the images of the public registries, and for their tokens.
M.HOSTS = { "nvcr.io", "registry-1.docker.io", "auth.docker.io", "quay.io" }

-- 'Bearer realm="https://x/token",service="x",scope="y"' → its fields
local function challenge(header)
  local fields = {}
  for key, value in tostring(header):gmatch('(%w+)="([^"]*)"') do
    fields[key] = value
  end
  return header and header:lower():find("^bearer ") and fields.realm and fields
end

local function ask(ctx, url, more)
  local request = { url = url, method = "HEAD", headers = { Accept = ACCEPT } }
  request.timeout, request.accept = "15s", "any"
  for key, value in pairs(more or {}) do
    request[key] = value
  end
  return ctx.http(request)
end

-- A token of the registry's, by the challenge of its 401.
local function token_of(ctx, said, scope, login)
  local answer = ctx.http({
    url = said.realm,
    query = { service = said.service, scope = scope },
    basic = login,
    secret = true,
    timeout = "15s",
    accept = { 200, 401, 403 },
  })
  if answer.status ~= 200 then
    return nil, answer.status
  end
  local body = ctx.json.decode(answer.secret, { secret = { "token", "access_token" } })
  return body.token or body.access_token
end

local MEANING <const> = {
  [401] = "the key is not accepted: is it of this registry, and not expired?",
  [403] = "the key may not pull it: the entitlement is missing",
  [404] = "there is no such image, or the key may not see it",
  [429] = "the registry has had too many requests from here: wait",
}

-- Too many requests say nothing about the image, and a server's own trouble does not either.
local function state_of(status)
  if status == 200 then
    return "ok"
  elseif status == 429 then
    return "warn"
  end
  return status >= 500 and "unknown" or "red"
end

---The parts of an image's name.
---@param image string "nvcr.io/nim/x:1", "vllm/vllm-omni:v1", "python:3.11-slim", "x@sha256:..."
---@return string host "docker.io" where the name begins with none
---@return string repository "library/python"
---@return string reference tag or digest
function M.parts(image)
  local name, reference = image:match("^(.+)@(sha256:%x+)$")
  if not name then
    name, reference = image:match("^(.+):([%w_.-]+)$")
  end
  if not name then
    name, reference = image, "latest"
  end
  local host, repository = name:match("^([^/]*[.:][^/]*)/(.+)$")
  if not host then
    host, repository = "docker.io", name
  end
  if host == "docker.io" and not repository:find("/", 1, true) then
    repository = "library/" .. repository
  end
  return host, repository, reference
end

local function manifest_check(ctx, title, url, repository, login)
  return {
    name = "image " .. title,
    expected = "may be pulled" .. (login and "" or " by everybody"),
    timeout = "60s",
    run = function()
      local answer = ask(ctx, url)
      local said = answer.status == 401 and challenge(answer.headers["www-authenticate"])
      if said then
        local scope = said.scope or ("repository:%s:pull"):format(repository)
        local token, refused = token_of(ctx, said, scope, login)
        if not token then
          local measured = ("the registry gives no token: HTTP %d"):format(refused)
          return { state = "red", measured = measured, hint = MEANING[refused] }
        end
        answer = ask(ctx, url, { bearer = token })
      end
      return {
        state = state_of(answer.status),
        measured = ("HTTP %d"):format(answer.status),
        hint = MEANING[answer.status],
      }
    end,
  }
end

---A check of one image.
---@param ctx pai.ctx
---@param base string "https://nvcr.io"
---@param image string "nvidia/driver:580.82.07-ubuntu24.04"
---@param login { [1]: string, [2]: pai.secret.handle }? nil asks for what everybody may pull
---@return table check
function M.check(ctx, base, image, login)
  local repository, tag = image:match("^(.+):([^:]+)$")
  local url = ("%s/v2/%s/manifests/%s"):format(base, repository, tag)
  return manifest_check(ctx, image, url, repository, login)
end

---Checks of images by their full names, each asked for at its own registry.
---@param ctx pai.ctx
---@param images string[] one that is named twice is asked for once
---@param opts { mirror: string?, logins: table<string, table>? } mirror: an origin that stands for
---every registry, as containerd's mirrors do (the query `ns` names the registry that is meant);
---logins: user and password by host
---@return table[] checks
function M.checks(ctx, images, opts)
  local list, seen = {}, {}
  for _, image in ipairs(images) do
    local host, repository, reference = M.parts(image)
    local origin = opts.mirror or ORIGINS[host] or "https://" .. host
    local url = ("%s/v2/%s/manifests/%s"):format(origin:gsub("/+$", ""), repository, reference)
    if opts.mirror then
      url = url .. "?ns=" .. host
    end
    if not seen[image] then
      seen[image] = true
      local login = opts.logins and opts.logins[host]
      list[#list + 1] = manifest_check(ctx, image, url, repository, login)
    end
  end
  return list
end

---A check of a login.
---@param ctx pai.ctx
---@param base string
---@param login { [1]: string, [2]: pai.secret.handle }
---@return table check
function M.login(ctx, base, login)
  return {
    name = "login to " .. base,
    expected = "accepted",
    run = function()
      local answer = ctx.http({ url = base .. "/v2/", timeout = "15s", accept = "any" })
      local said = challenge(answer.headers["www-authenticate"])
      if answer.status ~= 401 or not said then
        return { state = "unknown", measured = ("HTTP %d, no token asked"):format(answer.status) }
      end
      local token, refused = token_of(ctx, said, nil, login)
      local measured = token and "accepted" or ("HTTP %d"):format(refused)
      return { state = token and "ok" or "red", measured = measured, hint = MEANING[refused] }
    end,
  }
end

return M
