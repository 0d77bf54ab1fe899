-- pai ui
local args = require("pai.cli.args")
local out = require("pai.out")

local M = {
  name = "ui",
  summary = "a page with the runs, their steps and logs, as they go on",
  usage = "",
  doc = "Serves a page on 127.0.0.1 that shows the runs of the state folder, the steps of each, "
    .. "its gates, log and report. It only looks: nothing can be started or changed from it. It "
    .. "prints an address to open in a browser of this machine; the token in it lets nobody else "
    .. "in. Ctrl-C ends it; runs go on.",
  options = {
    { name = "port", arg = "N", doc = "any free one if not given" },
  },
  examples = {
    { "pai ui", "prints the address" },
    { "pai ui --port 8807 --json", 'the same as {"url": "..."}' },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  local port = args.port(opts)
  require("pai.secrets.known").open()
  return require("pai.report.live").serve({
    port = port,
    ready = function(url)
      out.stdout((opts.json and require("pai.json").encode({ url = url }) or url) .. "\n")
      out.flush(1)
      if not opts.json and require("pai.term").isatty(1) then
        out.stderr("open it in a browser; Ctrl-C ends the page, not the runs\n")
      end
    end,
  })
end

return M
