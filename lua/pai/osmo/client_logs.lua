-- Reading and following log streams. A live stream never ends by itself and sends no keep-alive,
-- so a silent one is asked again, and what was delivered before is not delivered twice.
local http = require("pai.osmo.client_http")
local task = require("pai.task")

local M = {}

---What a user can type in place of an address of the embedded engine, which a log ends with when
---its run has failed.
---@param line string
---@return string
function M.typed(line)
  local id, tail = line:match("^http://localhost/api/workflow/([%w_-]+)(.*)$")
  if id and tail == "" then
    return ("pai osmo query %s --target local"):format(id)
  elseif id and tail == "/error_logs" then
    return ("pai osmo logs %s --error --target local"):format(id)
  end
  return line
end

-- How long a followed stream may be silent before it is asked again.
local SILENCE <const> = 60000

-- A read that does not follow ends when a live stream has been silent for so long.
local SETTLED <const> = 2000

-- Between attempts to reach the service again, and how often in a row.
local PAUSE <const> = 1000
local ATTEMPTS <const> = 30

-- A run may have ended before its log is where it is kept: so often such a log is asked for again.
local UNMOVED <const> = 5

-- Lines by which the place in a stream is found again when its beginning is gone.
local TAIL <const> = 50

---@class pai.osmo.LogSeen
---@field first string? the first line of the first stream
---@field count integer lines delivered
---@field tail string[] the last of them
---@field whole boolean whether the first stream began at the log's beginning

local function remember(seen, line)
  seen.first = seen.first or line
  seen.count = seen.count + 1
  seen.tail[#seen.tail + 1] = line
  if #seen.tail > TAIL then
    table.remove(seen.tail, 1)
  end
end

-- Looks for the place where the delivered lines end in a stream whose beginning may be gone: the
-- stream begins inside the known tail, or holds all of it later. Of several overlaps that fit, the
-- longest counts, so that lines that look alike are not delivered twice.
local function overlap(tail)
  local alive, count, found = {}, 0, nil
  for p = 1, #tail do
    alive[p] = { next = p }
  end
  return function(line)
    count = count + 1
    if count > 1 then
      alive[#alive + 1] = { next = 1, later = true }
    end
    local left, longer = {}, false
    for _, a in ipairs(alive) do
      if tail[a.next] == line then
        if a.next < #tail then
          left[#left + 1] = { next = a.next + 1, later = a.later }
          longer = longer or not a.later
        else
          found = count
          if a.later or not longer then
            return found
          end
          break
        end
      end
    end
    alive = left
    -- A shorter overlap that fitted counts once no longer one can.
    return found and not longer and found or nil
  end, function()
    return found
  end
end

-- A function that takes the lines of a stream and delivers those that are new, and one that ends
-- the search for the old place: what waits is then new.
local function resuming(seen, deliver)
  local skip, pending, place, best
  local function pass_rest(known)
    local rest = table.move(pending, known + 1, #pending, 1, {})
    pending, skip = nil, 0
    for _, line in ipairs(rest) do
      deliver(line)
    end
  end
  return function(line)
    if skip == nil and pending == nil then
      if seen.count == 0 then
        skip = 0
      elseif seen.whole and line == seen.first then
        skip = seen.count
      else
        pending = {}
        place, best = overlap(table.move(seen.tail, 1, #seen.tail, 1, {}))
      end
    end
    if pending then
      pending[#pending + 1] = line
      local known = place(line)
      if known then
        pass_rest(known)
      end
    elseif skip > 0 then
      skip = skip - 1
    else
      deliver(line)
    end
  end, function()
    if pending then
      pass_rest(best() or 0)
    end
  end
end

-- Splits chunks into lines; the rest without a newline comes with finish.
local function splitter(on_line)
  local rest = ""
  return function(chunk)
    local text, pos = rest .. chunk, 1
    while true do
      local stop = text:find("\n", pos, true)
      if not stop then
        break
      end
      on_line(text:sub(pos, stop - 1))
      pos = stop + 1
    end
    rest = text:sub(pos)
  end, function()
    if rest ~= "" then
      on_line(rest)
      rest = ""
    end
  end
end

-- One connection. Returns how it ended: "end", "silent", or nil and an error.
local function connect(transport, path, query, silence, on_line, settle)
  local last = task.now()
  local feed, finish = splitter(on_line)
  local request = task.spawn(function()
    local res, e = transport:send("GET", path, {
      query = query,
      timeout = "30d",
      on_data = function(chunk)
        last = task.now()
        feed(chunk)
      end,
    })
    return res ~= nil, e
  end)
  local silent = false
  local watch = task.spawn(function()
    while true do
      local rest = silence - (task.now() - last)
      if rest <= 0 then
        silent = true
        request:cancel()
        return
      end
      task.sleep(rest)
    end
  end)
  local ok, done, e = pcall(request.wait, request)
  watch:cancel()
  if silent then
    settle()
    return "silent"
  elseif not ok then
    request:cancel()
    error(done, 0)
  elseif not done then
    return nil, e
  end
  finish()
  settle()
  return "end"
end

---@class pai.osmo.ReadOptions
---@field query table parameters of the request
---@field follow boolean? until the run's end
---@field on_line fun(line: string)
---@field finished fun(): boolean?, pai.Error? asked when a stream ends
---@field silence string|integer? ms

---Reads a stream of lines.
---@param transport pai.osmo.Transport
---@param path string
---@param opts pai.osmo.ReadOptions
---@return true?
---@return pai.Error? err
function M.read(transport, path, opts)
  local seen = { count = 0, tail = {}, whole = opts.query.last_n_lines == nil }
  local query, failures, unmoved = opts.query, 0, 0
  local function not_moved(e)
    unmoved = unmoved + 1
    local missing = e == nil or e.http == 400 or (e.http ~= nil and e.http >= 404 and e.http ~= 429)
    return missing and unmoved <= UNMOVED and not transport.socket and opts.finished() == true
  end
  while true do
    local before = seen.count
    local take, settle = resuming(seen, function(line)
      remember(seen, line)
      opts.on_line(line)
    end)
    local silence = opts.follow and (opts.silence or SILENCE) or SETTLED
    local how, e = connect(transport, path, query, silence, take, settle)
    if not how then
      local passing = http.lost(e) or e.retryable -- also what a gateway says in its place
      local again = opts.follow and ((passing and failures < ATTEMPTS) or not_moved(e))
      if not again then
        return nil, e
      end
      failures = seen.count > before and 0 or failures + 1
      task.sleep(PAUSE)
    elseif not opts.follow then
      return true
    else
      failures = 0
      if how == "end" then
        local finished, why = opts.finished()
        if finished == nil then
          return nil, why
        elseif finished and (seen.count > 0 or not not_moved()) then
          return true
        end
        task.sleep(PAUSE)
      end
    end
    -- From the second stream on, everything is asked for and the known part left out.
    if query.last_n_lines and seen.count > 0 then
      query = {}
      for name, value in pairs(opts.query) do
        query[name] = name ~= "last_n_lines" and value or nil
      end
    end
  end
end

return M
