-- Frames of a container's output, however they are cut.
local frames = require("pai.engine.container_logs")

describe("the reader of a container's output", function()
  local function frame(stream, text)
    return (">BxxxI4"):pack(stream, #text) .. text
  end

  local function read(data, size)
    local got = {}
    local reader = frames.reader(function(line, stream)
      got[#got + 1] = stream .. ":" .. line
    end)
    for i = 1, #data, size do
      reader:feed(data:sub(i, i + size - 1))
    end
    reader:finish()
    return got
  end

  it("gives whole lines of each stream, wherever the pieces end", function()
    local data = frame(1, "one\ntw")
      .. frame(2, "err")
      .. frame(1, "o\n")
      .. frame(2, "or\r\n")
      .. frame(1, "")
      .. frame(1, "last")
    local expected = { "stdout:one", "stdout:two", "stderr:error", "stdout:last" }
    for size = 1, #data do
      assert.same(expected, read(data, size), "pieces of " .. size)
    end
  end)

  it("cuts a line that has no end, and keeps all of it", function()
    local long = ("x"):rep(200000)
    local got = read(frame(1, long) .. frame(1, "\nnext\n"), 7000)
    local sum = 0
    for i = 1, #got - 1 do
      sum = sum + #got[i] - #"stdout:"
    end
    assert.equal(200000, sum)
    assert.equal("stdout:next", got[#got])
  end)

  it("takes nothing, and half a head, for nothing", function()
    assert.same({}, read("", 1))
    assert.same({}, read("\1\0\0", 1))
  end)
end)
