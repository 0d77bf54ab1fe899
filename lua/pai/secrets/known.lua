-- What a process that passes on the output of others masks without being told: variables whose
-- names look like secrets, .env, and the user's own store.
local err = require("pai.err")
local out = require("pai.out")

local M = {}

-- Shorter values are not masked.
local SHORTEST <const> = 6

local LOOKS_SECRET <const> = { "TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS" }

local function looks_secret(name)
  local upper = name:upper()
  for _, word in ipairs(LOOKS_SECRET) do
    if upper:sub(-#word) == word then
      return true
    end
  end
  return false
end

---Opens what is to be masked; the masker keeps what it was told until the process ends.
---@param named string[]? variables that must be there, raises EUSAGE
function M.open(named)
  local secret = require("pai.secret")
  for _, name in ipairs(named or {}) do
    local handle, e = secret.from_env(name)
    if not handle then
      err.raise("EUSAGE", "--secret " .. name .. ": " .. e.message)
    end
  end
  for name, bytes in pairs(secret.env_names()) do
    if looks_secret(name) and bytes >= SHORTEST then
      secret.from_env(name)
    end
  end
  local places = require("pai.secrets.places").new(require("pai.fs").cwd())
  places:dotenv()
  places:store()
  for _, check in ipairs(places.checks) do
    out.stderr(("pai: not opened: %s; hint: %s\n"):format(check.measured, check.hint))
  end
end

return M
