-- Rows of nvidia-smi, as the engine and the tool's wrapper read them.
local nvidia = require("pai.nvidia")

describe("rows of nvidia-smi", function()
  local fields = { "index", "name", "memory.total" }

  it("are asked for and read by field", function()
    assert.same(
      { "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits" },
      nvidia.query(fields)
    )
    local said = "0, NVIDIA L40S, 46068\r\n 1 ,Quadro RTX 8000, [N/A]\n"
    assert.same({
      { index = 0, name = "NVIDIA L40S", ["memory.total"] = 46068 },
      { index = 1, name = "Quadro RTX 8000" },
    }, nvidia.rows(said, fields))
  end)

  it("are left out where they are none", function()
    for _, said in ipairs({
      "",
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      "No devices were found\n",
      "0, only two",
      "0, one, 2, too many",
      "x, no index, 1",
    }) do
      assert.same({}, nvidia.rows(said, fields), said)
    end
  end)
end)
