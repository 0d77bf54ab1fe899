-- exec: a program in a container, over WebSocket. Frames begin with a channel: 0 stdin, 1 stdout,
-- 2 stderr, 3 the Status that says how it ended, 255 (v5) the end of a channel. A connection that
-- ends without that Status is an error, whatever came before. Source: the kubelet's
-- remotecommand subprotocols v4.channel.k8s.io and v5.channel.k8s.io.
local duration = require("pai.duration")
local err = require("pai.err")
local json = require("pai.json")
local status = require("pai.k8s.status")
local task = require("pai.task")

local M = {}

local V4 <const>, V5 <const> = "v4.channel.k8s.io", "v5.channel.k8s.io"
local STDIN <const>, STDOUT <const>, STDERR <const>, STATUS <const> = 0, 1, 2, 3
local CHUNK <const> = 32 * 1024
local OUTPUT_MAX <const> = 16 * 1024 * 1024
local PING <const> = "20s"

local function encode(value)
  return (
    tostring(value):gsub("[^%w%-_.~]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  )
end

---A query of names with one or more values, in the order given.
---@param list string[][] { name, value }
---@return string
local function query_of(list)
  local parts = {}
  for i, pair in ipairs(list) do
    parts[i] = encode(pair[1]) .. "=" .. encode(pair[2])
  end
  return table.concat(parts, "&")
end

---Opens a WebSocket to a pod's subresource with the client's credential.
---@param self pai.k8s.Client
---@param path string
---@param query string[][]
---@param protocols string[]
---@return pai.ws.Conn?
---@return pai.Error? err
function M.open(self, path, query, protocols)
  local target = self.target
  for attempt = 1, 2 do
    local credential, e = target.credential.get()
    if not credential then
      return nil, e
    end
    local tls, headers = {}, {}
    for key, value in pairs(target.request.tls) do
      tls[key] = value
    end
    tls.cert, tls.key = credential.cert or tls.cert, credential.key or tls.key
    for name, value in pairs(target.request.headers) do
      if name ~= "host" then
        headers[name] = type(value) == "table" and table.concat(value, ",") or value
      end
    end
    if credential.basic then
      return err.fail("EINVAL", "exec and port-forward want a token or a client certificate")
    end
    local conn
    conn, e = require("pai.ws").connect({
      url = target.base:gsub("^http", "ws") .. path .. "?" .. query_of(query),
      headers = headers,
      bearer = credential.token,
      protocols = protocols,
      tls = tls,
      connect_to = target.request.connect_to,
      proxy = target.request.proxy,
      ping = PING,
    })
    if conn then
      return conn
    end
    e = status.of_http(e)
    if attempt == 2 or e.http ~= 401 or not target.credential.forget then
      return nil, e
    end
    target.credential.forget()
  end
end

-- How the program ended, from the Status of channel 3.
local function ended(text)
  local st = json.decode(text)
  if type(st) ~= "table" or type(st.status) ~= "string" then
    return err.fail("EPROTO", "the server's word on how the program ended cannot be read")
  elseif st.status == "Success" then
    return 0
  end
  for _, cause in ipairs(st.details and st.details.causes or {}) do
    local code = cause.reason == "ExitCode" and math.tointeger(tonumber(cause.message))
    if code then
      return code
    end
  end
  return nil, status.error(st, st.code)
end

---@class pai.k8s.ExecOptions
---@field namespace string?
---@field container string?
---@field stdin string?
---@field on_output fun(text: string, stream: "stdout"|"stderr")? in place of collecting it
---@field accept integer[]|"any"|nil exit codes that are no error, default { 0 }
---@field timeout string|integer? default 10m
---@field max_output integer? bytes kept of each stream

local function feed(conn, text)
  for from = 1, #text, CHUNK do
    local ok, e = conn:send(string.char(STDIN) .. text:sub(from, from + CHUNK - 1))
    if not ok then
      return nil, e
    end
  end
  return conn:send(string.char(255, STDIN))
end

local function gather(opts)
  local limit = opts.max_output or OUTPUT_MAX
  local streams = { [STDOUT] = { size = 0 }, [STDERR] = { size = 0 } }
  local function take(channel, text)
    if opts.on_output then
      opts.on_output(text, channel == STDOUT and "stdout" or "stderr")
      return
    end
    local s = streams[channel]
    local room = limit - s.size
    s.truncated = s.truncated or #text > room
    s[#s + 1] = #text > room and text:sub(1, room) or text
    s.size = s.size + math.min(#text, room)
  end
  return streams, take
end

-- Reads until the Status, or the end without one.
local function read(conn, take, deadline)
  while true do
    local message, kind = conn:receive(math.max(1, deadline - task.now()))
    if not message then
      local e = kind
      if err.is(e, "ETIMEDOUT") then
        return err.fail("ETIMEDOUT", "the program did not end in time; it may run on", {
          hint = "its end is not known: look before it is started again",
        })
      end
      return err.fail("ENOSTATUS", "the connection ended before it was said how the program did", {
        hint = "its end is not known: look before it is started again",
        cause = e,
      })
    end
    local channel = message:byte(1)
    if channel == STATUS then
      return ended(message:sub(2))
    elseif (channel == STDOUT or channel == STDERR) and #message > 1 then
      take(channel, message:sub(2))
    end
  end
end

local function is_accepted(code, accept)
  if accept == "any" then
    return true
  end
  for _, one in ipairs(accept or { 0 }) do
    if one == code then
      return true
    end
  end
  return false
end

---Runs a program in a container and waits for its end.
---@param self pai.k8s.Client
---@param pod string
---@param argv string[]
---@param opts pai.k8s.ExecOptions?
---@return { code: integer, stdout: string, stderr: string, truncated: boolean }?
---@return pai.Error? err EEXIT with `exit`, `stdout` and `stderr`; ENOSTATUS: how it ended is not
---known; ETIMEDOUT
function M.exec(self, pod, argv, opts)
  opts = opts or {}
  local ms = duration.parse(opts.timeout or "10m")
  if type(argv) ~= "table" or #argv == 0 or not ms then
    return err.fail("EINVAL", "exec takes a list of arguments, and a duration as its timeout")
  end
  local query = { { "stdout", "true" }, { "stderr", "true" } }
  for _, word in ipairs(argv) do
    query[#query + 1] = { "command", word }
  end
  if opts.container then
    query[#query + 1] = { "container", opts.container }
  end
  if opts.stdin then
    query[#query + 1] = { "stdin", "true" }
  end
  local path = self:path(require("pai.k8s.resources").known("pods"), pod, {
    namespace = opts.namespace,
    subresource = "exec",
  })
  -- Only v5 can say where stdin ends.
  local conn, e = M.open(self, path, query, opts.stdin and { V5 } or { V5, V4 })
  if not conn then
    return nil, e
  end
  local _ <close> = conn
  local spoken = conn:protocol()
  if spoken ~= V5 and (spoken ~= V4 or opts.stdin) then
    local message = "the server does not speak %s, which exec%s needs"
    return err.fail("EPROTO", message:format(V5, opts.stdin and " with stdin" or ""))
  end
  if opts.stdin then
    local ok
    ok, e = feed(conn, opts.stdin)
    if not ok then
      return nil, e
    end
  end
  local streams, take = gather(opts)
  local code
  code, e = read(conn, take, task.now() + ms)
  local stdout, stderr = table.concat(streams[STDOUT]), table.concat(streams[STDERR])
  if not code then
    e.stdout, e.stderr = stdout, stderr
    return nil, e
  elseif not is_accepted(code, opts.accept) then
    return err.fail("EEXIT", ("%s in pod %s ended with code %d"):format(argv[1], pod, code), {
      exit = code,
      stdout = stdout,
      stderr = stderr,
    })
  end
  return {
    code = code,
    stdout = stdout,
    stderr = stderr,
    truncated = streams[STDOUT].truncated == true or streams[STDERR].truncated == true,
  }
end

return M
