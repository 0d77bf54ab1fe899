-- A busted output handler: the plain terminal's report, then one SKIP line for each skipped test
-- and the closing line `N passed, N failed, N skipped`, which tests/run adds up.
local busted = require("busted")
local plain_terminal = require("busted.outputHandlers.plainTerminal")

local function one_line(text)
  return (tostring(text):gsub("%s+", " "))
end

return function(options)
  local handler = plain_terminal(options)

  local function closing_line()
    for _, test in ipairs(handler.pendings) do
      local file = (test.trace and test.trace.short_src or "?"):gsub("^%./", "")
      local reason = test.message and " (" .. one_line(test.message) .. ")" or ""
      io.write("SKIP ", file, ": ", one_line(test.name), reason, "\n")
    end
    io.write(
      string.format(
        "%d passed, %d failed, %d skipped\n",
        handler.successesCount,
        handler.failuresCount + handler.errorsCount,
        handler.pendingsCount
      )
    )
    io.flush()
    return nil, true
  end

  -- Last of all: after the report of failures, which has the default priority.
  busted.subscribe({ "suite", "end" }, closing_line, { priority = 1000 })
  return handler
end
