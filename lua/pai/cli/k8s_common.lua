-- What the commands of `pai k8s` share: which cluster, said before anything else, and how to print.
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")

local M = {}

M.CONTEXT = { name = "context", arg = "NAME", doc = "the cluster and user, of the kubeconfig" }
M.NAMESPACE = { name = "namespace", arg = "NAME", doc = "default: that of the context" }
M.KUBECONFIG = { name = "kubeconfig", arg = "FILE", doc = "default: KUBECONFIG, ~/.kube/config" }
M.SELECTOR = { name = "selector", arg = "LABELS", doc = "only objects with these labels" }
M.FIELDS = { name = "field-selector", arg = "FIELDS", doc = "only objects with these fields" }
M.ALL = { name = "all", doc = "of every namespace" }
M.CONTAINER = { name = "container", arg = "NAME", doc = "of a pod with several" }
M.TIMEOUT = { name = "timeout", arg = "TIME", doc = "how long at most" }
M.YES = { name = "yes", doc = "do not ask" }

---The options of a command: which cluster, and its own.
---@return pai.cli.Option[]
function M.options(...)
  return { M.CONTEXT, M.NAMESPACE, M.KUBECONFIG, ... }
end

---The value, or raises the error.
---@param value any
---@param e pai.Error?
---@return any
function M.checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

-- What changes a cluster does not go to whichever context happens to be current.
local function must_name(opts)
  if opts.context then
    return
  end
  local config = M.checked(require("pai.k8s.kubeconfig").load(opts.kubeconfig))
  local names = require("pai.text").keys(config.contexts)
  if #config.files == 0 then
    return
  end
  local message = "USER_INPUT_REQUIRED: --context (one of: %s; current: %s)"
  err.raise("EINPUT", message:format(table.concat(names, ", "), config.current or "none"), {
    missing = { { name = "--context", type = "string", doc = "the cluster that is changed" } },
  })
end

---Connects, and says on standard error to what.
---@param opts table
---@param acts boolean? the command changes something: the context must be named
---@return pai.k8s.Client
function M.connect(opts, acts)
  if acts then
    must_name(opts)
  end
  local c = M.checked(require("pai.k8s.client").connect({
    context = opts.context,
    kubeconfig = opts.kubeconfig,
  }))
  c.namespace = opts.namespace or c.namespace
  local where = ("context %s, %s, namespace %s"):format(c.context, c.server, c.namespace)
  out.stderr(where .. "\n")
  if c.target.insecure then
    out.stderr("warning: the kubeconfig says not to check this server's certificate\n")
  end
  return c
end

---@param value any
function M.print_json(value)
  out.stdout(json.encode(value, { replace = true }) .. "\n")
end

---"pod/name" or "pod" "name" as kind and names.
---@param words string[]
---@return string kind
---@return string[] names
function M.objects(words)
  local kind, name = words[1]:match("^([^/]+)/(.+)$")
  if not kind then
    return words[1], table.move(words, 2, #words, 1, {})
  end
  local names = { name }
  for i = 2, #words do
    local other, more = words[i]:match("^([^/]+)/(.+)$")
    if other ~= kind then
      err.raise("EUSAGE", ("'%s': several objects must be of one kind"):format(words[i]))
    end
    names[i] = more
  end
  return kind, names
end

---Asks before something is destroyed. Raises EINPUT when nobody can be asked.
---@param opts table
---@param what string "delete pod x"
---@param c pai.k8s.Client
function M.confirm(opts, what, c)
  if opts.yes then
    return
  end
  local question = ("%s on %s (%s)? [y/N] "):format(what, c.context, c.server)
  local answer
  if not opts.json and require("pai.term").isatty(0) then
    answer = require("pai.term").read_line(question)
  end
  if not answer then
    err.raise("EINPUT", ("USER_INPUT_REQUIRED: %s; confirm with --yes"):format(what), {
      missing = { { name = "--yes", type = "boolean", doc = "this destroys something" } },
    })
  elseif not answer:lower():find("^y") then
    err.raise("EDECLINED", "not confirmed; nothing was changed")
  end
end

return M
