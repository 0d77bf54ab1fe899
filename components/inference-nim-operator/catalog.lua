-- What the actions share: versions with the date at which they held, names, and the NIMs
-- (lua/pai/shared/nims.lua, which other recipes read too).
local nims = require("pai.shared.nims")
local versions = require("pai.shared.versions")

local M = {}

M.LOCK = {
  date = versions.date,
  chart = versions.nim_operator.chart,
  repo = versions.nim_operator.repo,
  operator = versions.nim_operator.version,
  helm = versions.tools.helm,
  -- huggingface_hub has no release pinned upstream; hf_transfer comes with the extra.
  downloader = "python:3.11-slim",
  hub = "huggingface_hub[cli,hf_transfer]>=0.34,<1",
}

M.OPERATOR_NAMESPACE = "nim-operator"
M.NAMESPACE = "osmo-nims"
M.API = "apps.nvidia.com/v1alpha1"
M.PORT = 8000
M.NIMS = nims.NIMS
M.names = nims.names

---How long a NIM may take to start: an initial 60 s, then its probe's failures; in minutes.
---@param entry nim.Entry
---@return integer
function M.startup_minutes(entry)
  return (60 + 30 * entry.failures) // 60
end

return M
