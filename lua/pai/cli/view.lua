-- How a run is shown: JSON Lines, a live view on a terminal, or plain lines.
local M = {}

---@class pai.cli.View
---@field sinks table[] for the runner; see pai.run.Spec
---@field close fun()

local function json_view()
  local json, out = require("pai.json"), require("pai.out")
  return {
    sinks = {
      {
        event = function(e)
          out.stdout(json.encode(e) .. "\n")
        end,
      },
    },
    close = function() end,
  }
end

local function plain_view()
  local lines, out = require("pai.cli.lines"), require("pai.out")
  local color = require("pai.term").color(1)
  local sink = {}
  function sink.event(e)
    for _, line in ipairs(lines.of(e, color)) do
      out.stdout(line .. "\n")
    end
  end
  function sink.kept(name)
    out.stdout("kept    " .. name .. "\n")
  end
  return { sinks = { sink }, close = function() end }
end

local function live_view()
  local live = require("pai.cli.live").new()
  local sink = {}
  function sink.event(e)
    live:event(e)
  end
  function sink.line(name, line)
    live:output(name, line)
  end
  function sink.begin(name)
    live:begin(name)
  end
  function sink.kept(name)
    live:kept(name)
  end
  return {
    sinks = { sink },
    close = function()
      live:close()
    end,
  }
end

---Makes the view for a command's options.
---@param opts table
---@return pai.cli.View
function M.new(opts)
  if opts.json then
    return json_view()
  end
  local term = require("pai.term")
  if term.isatty(1) and not opts.plain and os.getenv("TERM") ~= "dumb" then
    return live_view()
  end
  return plain_view()
end

---Tells whether questions can be asked.
---@param opts table
---@return boolean
function M.can_ask(opts)
  local term = require("pai.term")
  return not opts.json and term.isatty(0) and term.isatty(2)
end

return M
