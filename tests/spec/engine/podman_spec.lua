-- Tasks in containers of a real Podman daemon, started here on a socket of its own.
local fs = require("pai.fs")

describe("a pool of Podman containers", function()
  if select(2, fs.user()) ~= 0 then
    it("runs tasks", function()
      pending("needs root to start a Podman daemon")
    end)
    return
  end
  assert(loadfile("tests/spec/engine/container_cases.lua", "t", _ENV))()("podman")
end)
