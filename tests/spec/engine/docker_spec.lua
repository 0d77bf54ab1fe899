-- Tasks in containers of a real Docker daemon, started here on a socket of its own.
local fs = require("pai.fs")

describe("a pool of Docker containers", function()
  if select(2, fs.user()) ~= 0 then
    it("runs tasks", function()
      pending("needs root to start a Docker daemon")
    end)
    return
  end
  assert(loadfile("tests/spec/engine/container_cases.lua", "t", _ENV))()("docker")
end)
