-- The live page: runs, their steps and their logs in a browser on this machine. It reads the
-- journals and nothing else: no recipe is called and nothing can be changed from it. Only
-- processes of this user that know the token are answered; pai.serve checks Host and Origin.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local live_run = require("pai.report.live_run")
local serve = require("pai.serve")
local signals = require("pai.run.signals")
local state = require("pai.state")
local summary = require("pai.run.summary")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

-- How often a run's journal is looked at, its lease every so many times, and when a silent
-- connection gets a comment.
local EVERY_MS <const> = 250
local LEASE_EVERY <const> = 4
local KEEP_ALIVE_MS <const> = 10000

-- How often the list of runs is made, at most, and how many times longer than that took is waited.
local LIST_MS <const> = 1000
local LIST_SHARE <const> = 50

-- Runs in the list, pages that are open at once, bytes of the report at a time.
local MAX_RUNS <const> = 100
local MAX_STREAMS <const> = 32
local PIECE <const> = 256 * 1024

local PAGE_POLICY <const> = "default-src 'none'; script-src 'self'; style-src 'self'; "
  .. "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
  .. "frame-ancestors 'none'"

-- The report brings a policy of its own; this one holds whatever the file says.
local REPORT_POLICY <const> = "sandbox; default-src 'none'; img-src data:; media-src data:; "
  .. "style-src 'unsafe-inline'; frame-ancestors 'none'"

---@class pai.report.Live
---@field token string
---@field port integer
---@field streams integer
---@field closing boolean
---@field known table<string, table> summaries by id, with the journal's stamp
---@field package listed string? the list as it was sent last
---@field package list_again integer? when it is made again, by task.now
local Live = {}
Live.__index = Live

local function answer(status, kind, body, more)
  local headers = {
    ["Content-Type"] = kind,
    ["Cache-Control"] = "no-store",
    ["Content-Security-Policy"] = PAGE_POLICY,
    ["Referrer-Policy"] = "no-referrer",
    ["X-Content-Type-Options"] = "nosniff",
    ["Cross-Origin-Resource-Policy"] = "same-origin",
  }
  for name, value in pairs(more or {}) do
    headers[name] = value
  end
  return { status = status, headers = headers, body = body }
end

local function plain(status, words, more)
  return answer(status, "text/plain; charset=utf-8", words .. "\n", more)
end

local function as_json(value)
  return answer(200, "application/json", json.encode(value))
end

function Live:cookie_name()
  return "pai-ui-" .. self.port
end

local function fits(self, given)
  return given ~= nil and crypto.equal(given, self.token)
end

-- The refusal of a request without the token, or nil. The token comes with the address that was
-- printed, then as a cookie; a program may send it as a bearer.
function Live:refusal(req)
  local bearer = (req.headers.authorization or ""):match("^Bearer (%S+)$")
  local cookie
  for name, value in (req.headers.cookie or ""):gmatch("([^=;%s]+)=([^;%s]*)") do
    cookie = name == self:cookie_name() and value or cookie
  end
  if fits(self, bearer) or fits(self, cookie) then
    return nil
  end
  local words = "Open the whole address that pai ui has printed, with its token."
  return plain(bearer and 403 or cookie and 403 or 401, words, {
    ["WWW-Authenticate"] = not (bearer or cookie) and "Bearer" or nil,
  })
end

-- The summary of a run, read anew only when its journal has changed or its process is gone.
function Live:summary(id)
  local st = fs.stat(state.run_dir(id) .. "/journal.jsonl")
  local stamp = st and ("%d:%d"):format(st.size, st.mtime_ms)
  local old = self.known[id]
  local same = old and stamp and old.stamp == stamp
  -- A process may go without a last word in its journal.
  same = same and (old.brief.status ~= "running" or summary.status(id) == "running")
  if not same then
    local brief = summary.of(id)
    brief.media = nil
    old = { stamp = stamp, brief = text.masked(brief) }
    self.known[id] = old
  end
  return old.brief
end

---The newest runs, as JSON.
---@return string
function Live:list()
  local all = summary.all(function(id)
    return self:summary(id)
  end)
  local runs = json.array(table.move(all, 1, math.min(#all, MAX_RUNS), 1, {}))
  return json.encode({ runs = runs, total = #all })
end

-- The same for all pages that are open; thousands of runs are looked at less often.
function Live:shared_list()
  local now = task.now()
  if not self.listed or now >= self.list_again then
    self.listed = self:list()
    self.list_again = now + math.max(LIST_MS, LIST_SHARE * (task.now() - now))
  end
  return self.listed
end

local function frame(event, encoded)
  return ("event: %s\ndata: %s\n\n"):format(event, encoded)
end

-- Writes what has changed to one page, until it or the server goes.
function Live:stream(w, run)
  local listed, turn, quiet_ms, shown_status
  turn, quiet_ms = 0, 0
  while not self.closing and not w:gone() do
    local out = {}
    local list = self:shared_list()
    out[1] = list ~= listed and frame("runs", list) or nil
    listed = list
    -- That a process has ended without a last word is in no journal.
    local changed = run and run:poll()
    if run and (changed or turn == 0 or turn % LEASE_EVERY == 0) then
      local now = run:state()
      if changed or now.status ~= shown_status then
        out[#out + 1] = frame("run", json.encode(now))
      end
      shown_status = now.status
    end
    if run and #run.lines > 0 then
      out[#out + 1] = frame("log", json.encode({ lines = run:take_lines() }))
    end
    quiet_ms = #out > 0 and 0 or quiet_ms + EVERY_MS
    if #out == 0 and quiet_ms >= KEEP_ALIVE_MS then
      out[1], quiet_ms = ": \n\n", 0
    end
    if #out > 0 and not w:write(table.concat(out)) then
      return
    end
    turn = turn + 1
    task.sleep(EVERY_MS)
  end
end

local routes = {}

-- What a page is made of, and its kind.
local FILES <const> = {
  ["/page.js"] = { "page.js", "text/javascript; charset=utf-8" },
  ["/page.css"] = { "page.css", "text/css; charset=utf-8" },
}

local function file_of(name)
  return assert(fs.read(("%s/lua/pai/report/live/%s"):format(require("pai").root, name)))
end

routes["/"] = function()
  return answer(200, "text/html; charset=utf-8", file_of("page.html"))
end

routes["/page.js"] = function(_, req)
  return answer(200, FILES[req.path][2], file_of(FILES[req.path][1]))
end

routes["/page.css"] = function(_, req)
  local shared = require("pai.report.style")
  return answer(200, FILES[req.path][2], shared .. file_of(FILES[req.path][1]))
end

routes["/api/runs"] = function(self)
  return answer(200, "application/json", self:list())
end

local function run_of(id)
  local run = id and live_run.open(id)
  return run, plain(404, "There is no such run.")
end

local function read_whole(run)
  while run:poll() do
    task.sleep(0)
  end
  return run
end

routes["/api/run"] = function(_, req)
  local run, refused = run_of((req.query.run or {})[1])
  return run and as_json(read_whole(run):state()) or refused
end

routes["/api/output"] = function(_, req)
  local run, refused = run_of((req.query.run or {})[1])
  if not run then
    return refused
  end
  local step = (req.query.step or {})[1] or ""
  return as_json({ run = run.id, step = step, text = run:output(step) or json.null })
end

routes["/api/events"] = function(self, req)
  local id = (req.query.run or {})[1]
  local run, refused
  if id then
    run, refused = run_of(id)
    if not run then
      return refused
    end
    read_whole(run)
  end
  if self.streams >= MAX_STREAMS then
    return plain(503, "Too many pages are open.", { ["Retry-After"] = "5" })
  end
  local reply = answer(200, "text/event-stream", nil, { ["X-Accel-Buffering"] = "no" })
  reply.stream = function(w)
    self.streams = self.streams + 1
    local _ <close> = setmetatable({}, {
      __close = function()
        self.streams = self.streams - 1
      end,
    })
    self:stream(w, run)
  end
  return reply
end

routes["/report"] = function(_, req)
  local run, refused = run_of((req.query.run or {})[1])
  local path = run and read_whole(run):report()
  local file = path and io.open(path, "rb")
  if not file then
    return run and plain(404, "The run has no report.") or refused
  end
  local reply = answer(200, "text/html; charset=utf-8", nil, {
    ["Content-Security-Policy"] = REPORT_POLICY,
  })
  reply.stream = function(w)
    local _ <close> = file
    for piece in
      function()
        return file:read(PIECE)
      end
    do
      if not w:write(piece) then
        return
      end
    end
  end
  return reply
end

---Answers a request.
---@param req pai.serve.request
---@return pai.serve.answer
function Live:answer(req)
  if req.method ~= "GET" then
    return plain(405, "This page only looks.", { Allow = "GET" })
  end
  local given = req.path == "/" and (req.query.token or {})[1]
  if given then
    if not fits(self, given) then
      return plain(403, "The token is not that of this server; look at what pai ui has printed.")
    end
    -- The token leaves the address, so that it is in no history and no picture of the screen.
    local cookie = "%s=%s; Path=/; HttpOnly; SameSite=Lax"
    return plain(303, "See /", {
      Location = "/",
      ["Set-Cookie"] = cookie:format(self:cookie_name(), self.token),
    })
  end
  local refused = self:refusal(req)
  if refused then
    return refused
  end
  local route = routes[req.path]
  return route and route(self, req) or plain(404, "There is nothing here.")
end

---Listens on loopback.
---@param opts { port: integer? }
---@return pai.serve.server? listening
---@return string|pai.Error url or error
---@return pai.report.Live? live
function M.listen(opts)
  local self = setmetatable({
    token = crypto.hex(16),
    port = 0,
    streams = 0,
    closing = false,
    known = {},
  }, Live)
  local listening, e = serve.listen({
    host = "127.0.0.1",
    port = opts.port or 0,
    same_uid = true,
    max_body = 4096,
    handler = function(req)
      return self:answer(req)
    end,
  })
  if not listening then
    return nil, e
  end
  self.port = listening:port()
  return listening, ("http://127.0.0.1:%d/?token=%s"):format(self.port, self.token), self
end

---Serves until the process is asked to end.
---@param opts { port: integer?, ready: fun(url: string) }
---@return integer exit code
function M.serve(opts)
  local listening, url, self = M.listen(opts)
  if not listening then
    error(url, 0)
  end
  signals.until_end(function()
    opts.ready(url)
  end)
  self.closing = true
  listening:close({ drain = "500ms" })
  return 0
end

return M
