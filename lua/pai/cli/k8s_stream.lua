-- pai k8s exec, port-forward: connections into pods. The context must be named.
local args = require("pai.cli.args")
local common = require("pai.cli.k8s_common")
local err = require("pai.err")
local out = require("pai.out")

local exec = {
  name = "exec",
  summary = "run a program in a container and pass its exit code on",
  usage = "POD -- PROGRAM [ARG...]",
  options = common.options(
    common.CONTAINER,
    common.TIMEOUT,
    { name = "stdin", doc = "send standard input, to its end" }
  ),
  doc = [[There is no terminal: programs that want one are not for this. The exit code is the
program's; 125 says that it is not known how it ended, or that it was not begun.]],
  examples = { { "pai k8s exec --context team web-0 -- nvidia-smi -L", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function exec.run(words, opts)
  args.count(words, 2, math.maxinteger, "POD -- PROGRAM")
  local pod = words[1]:gsub("^pods?/", "")
  local c = common.connect(opts, true)
  local streams = { stdout = out.stdout, stderr = out.stderr }
  local res, e = c:exec(pod, table.move(words, 2, #words, 1, {}), {
    container = opts.container,
    timeout = opts.timeout,
    stdin = opts.stdin and io.read("a") or nil,
    accept = "any",
    on_output = not opts.json and function(text, stream)
      streams[stream](text)
    end or nil,
  })
  if opts.json then
    local utf8 = require("pai.text").utf8
    common.print_json({
      context = c.context,
      server = c.server,
      exit = res and res.code,
      stdout = res and utf8(res.stdout) or nil,
      stderr = res and utf8(res.stderr) or nil,
      error = e and { code = e.code, message = e.message, hint = e.hint } or nil,
    })
  end
  if res then
    return res.code
  elseif not opts.json then
    out.stderr("pai: " .. e.message .. "\n" .. (e.hint and "hint: " .. e.hint .. "\n" or ""))
  end
  return 125
end

local forward = {
  name = "port-forward",
  summary = "lead a port of this machine to one of a pod, until interrupted",
  usage = "POD|KIND/NAME [LOCAL:]PORT",
  options = common.options({ name = "detach", doc = "go on after this command has ended" }),
  doc = [[KIND/NAME may be a Service or whatever selects pods: one that is ready is taken, and
another one when it goes. LOCAL 0 takes any free port; it is bound to 127.0.0.1. `pai k8s forwards`
shows and ends those that were detached.]],
  examples = { { "pai k8s port-forward --context team svc/osmo-gateway 9000:80", "" } },
}

local function ports_of(word)
  local here, there = word:match("^(%d+):(%w[%w-]*)$")
  there = there or word:match("^(%w[%w-]*)$")
  local port = there and (math.tointeger(tonumber(there)) or there)
  local own = here and math.tointeger(tonumber(here)) or math.tointeger(tonumber(there))
  if not port or (own and own > 65535) or (math.type(port) == "integer" and port > 65535) then
    err.raise("EUSAGE", ("'%s' is not [LOCAL:]PORT"):format(word))
  end
  return own ~= 0 and own or nil, port
end

local function say(opts, event)
  if opts.json then
    local e = event.error
    event.error = e and { code = e.code, message = e.message } or nil
    common.print_json(event)
  elseif event.event == "ready" then
    out.stdout(("127.0.0.1:%d leads to %s, now pod %s\n"):format(event.port, event.to, event.pod))
  elseif event.event == "pod" then
    out.stderr(("pod %s is gone; now pod %s\n"):format(event.before, event.pod))
  elseif event.event == "redial" then
    out.stderr(("dialling again: %s\n"):format(event.error.message))
  else
    out.stderr(("a connection failed: %s\n"):format(event.error.message))
  end
end

local function detach(c, to, port, own, opts)
  local record, began = require("pai.k8s.forwards").start(c, {
    to = to,
    port = port,
    local_port = own,
    namespace = opts.namespace,
    kubeconfig = opts.kubeconfig,
  })
  common.checked(record, began)
  if opts.json then
    record.began = began
    common.print_json(record)
  else
    local how = began and "started" or "runs already"
    out.stdout(
      ("127.0.0.1:%d leads to %s (%s, %s)\n"):format(record.local_port, to, record.id, how)
    )
  end
  return 0
end

---@param words string[]
---@param opts table
---@return integer exit code
function forward.run(words, opts)
  args.count(words, 2, 2, "POD PORT")
  local own, port = ports_of(words[2])
  local c = common.connect(opts, true)
  if opts.detach then
    return detach(c, words[1], port, own, opts)
  end
  opts.streamed = true
  local _, e = c:forward({
    to = words[1],
    port = port,
    local_port = own,
    on_ready = function(bound, pod)
      say(opts, { event = "ready", port = bound, pod = pod, to = words[1] })
    end,
    on_event = function(event)
      say(opts, event)
    end,
  })
  error(e, 0)
end

local forwards = {
  name = "forwards",
  summary = "list the port-forwards that were detached, or end some",
  usage = "",
  options = { { name = "stop", arg = "ID", many = true, doc = "end this one (all: every one)" } },
  examples = { { "pai k8s forwards --stop all", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function forwards.run(words, opts)
  args.count(words, 0, 0, "")
  local known = require("pai.k8s.forwards")
  local list = known.list()
  local stopped = {}
  for _, id in ipairs(opts.stop or {}) do
    for _, record in ipairs(id == "all" and list or { { id = id } }) do
      stopped[#stopped + 1] = common.checked(known.stop(record.id))
    end
  end
  if opts.json then
    local array = require("pai.json").array
    common.print_json(opts.stop and { stopped = array(stopped) } or { forwards = array(list) })
    return 0
  end
  local rows = { { "ID", "PORT", "TO", "CONTEXT", "NAMESPACE", "STATE" } }
  for i, f in ipairs(opts.stop and stopped or list) do
    local how = opts.stop and "stopped" or f.alive and "up" or "gone"
    rows[i + 1] = { f.id, tostring(f.local_port), f.to, f.context, f.namespace, how }
  end
  out.stdout(#rows > 1 and require("pai.text").columns(rows) or "no port-forwards\n")
  return 0
end

return { exec, forward, forwards }
