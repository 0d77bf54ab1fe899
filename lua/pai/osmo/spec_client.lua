-- The client's part of a submit, without any request: is it a template, what does the file with the
-- local files in it look like, and what is sent in which call.
local document = require("pai.osmo.document")
local fs = require("pai.fs")
local text = require("pai.text")
local value = require("pai.osmo.template_value")
local yaml_dump = require("pai.osmo.yaml_dump")

local M = {}

local MARKERS = { "{%", "{{", "{#", "default-values" }

---Whether upstream's client takes a text for a template.
---@param source string
---@return boolean
function M.is_templated(source)
  for _, marker in ipairs(MARKERS) do
    if source:find(marker, 1, true) then
      return true
    end
  end
  return false
end

local function fail(path, message, ...)
  error({ client = { stage = "client", path = path, message = message:format(...) } }, 0)
end

-- Text as Python opens it: UTF-8, every line end a newline.
local function as_text(bytes, what)
  if not utf8.len(bytes) then
    fail(nil, "%s is not UTF-8 text", what)
  end
  return (bytes:gsub("\r\n?", "\n"))
end

local function read_local(localpath, opts, path)
  local full = localpath
  if not localpath:find("^/") then
    full = fs.join(opts.dir or ".", localpath)
  end
  local bytes, e = (opts.read or fs.read)(full)
  if not bytes then
    local why = type(e) == "table" and e.message or tostring(e or "not found")
    fail(path, "cannot read the local file '%s': %s", localpath, why)
  end
  return as_text(bytes, "the local file '" .. localpath .. "'")
end

local function inline(file, opts, path)
  local localpath = value.dict_get(file, "localpath")
  if localpath == nil then
    return
  elseif value.dict_get(file, "contents") ~= nil then
    fail(path, "has both contents and localpath: use one of them")
  elseif type(localpath) ~= "string" then
    fail(path, "localpath must be text")
  end
  value.dict_remove(file, "localpath")
  value.dict_set(file, "contents", read_local(localpath, opts, path))
end

-- The items of a list that is looked into; what cannot be gone through, the client fails on.
local function items(map, key, path, what)
  local list = value.dict_get(map, key)
  if list == nil then
    return {}
  elseif value.type(list) == "list" then
    return list
  elseif value.type(list) == "str" or value.type(list) == "dict" then
    return value.items(list)
  end
  return fail(path, "%s must be a list", what)
end

local function at(path, ...)
  local out = table.move(path, 1, #path, 1, {})
  for _, key in ipairs({ ... }) do
    out[#out + 1] = key
  end
  return out
end

local function load_task(task, opts, path)
  if value.type(task) ~= "dict" then
    fail(path, "a task must be a map")
  end
  for i, file in ipairs(items(task, "files", at(path, "files"), "files")) do
    local here = at(path, "files", i - 1)
    if value.type(file) == "dict" then
      inline(file, opts, here)
    elseif value.type(file) ~= "str" and value.type(file) ~= "list" then
      fail(here, "a file must be a map")
    end
  end
end

-- Puts the contents of local files into the tree.
local function load_local_files(tree, opts)
  local workflow = value.type(tree) == "dict" and value.dict_get(tree, "workflow")
  if value.type(workflow) ~= "dict" then
    fail(nil, "the spec must be a map with 'workflow:', a map, in it")
  end
  local root = { "workflow" }
  for i, task in ipairs(items(workflow, "tasks", at(root, "tasks"), "tasks")) do
    load_task(task, opts, at(root, "tasks", i - 1))
  end
  for i, group in ipairs(items(workflow, "groups", at(root, "groups"), "groups")) do
    local path = at(root, "groups", i - 1)
    if value.type(group) ~= "dict" then
      fail(path, "a group must be a map")
    end
    for k, task in ipairs(items(group, "tasks", at(path, "tasks"), "the tasks of a group")) do
      load_task(task, opts, at(path, "tasks", k - 1))
    end
  end
end

-- Environment variables that env_vars cannot carry go into every task.
local function put_env(tree, env)
  local function into(list)
    for _, task in ipairs(value.type(list) == "list" and list or {}) do
      if value.type(task) == "dict" then
        local map = value.dict_get(task, "environment")
        if value.type(map) ~= "dict" then
          map = value.dict()
          value.dict_set(task, "environment", map)
        end
        for _, name in ipairs(text.keys(env)) do
          value.dict_set(map, name, env[name])
        end
      end
    end
  end
  for name, v in pairs(env) do
    if v:find("{[{%%#]") then
      fail(nil, "the value of %s would be rendered: it holds '=' and a template's braces", name)
    end
  end
  local workflow = value.dict_get(tree, "workflow")
  into(value.dict_get(workflow, "tasks"))
  local groups = value.dict_get(workflow, "groups")
  for _, group in ipairs(value.type(groups) == "list" and groups or {}) do
    into(value.type(group) == "dict" and value.dict_get(group, "tasks"))
  end
end

-- The document to put local files into, and where its members stand in the text as given.
local function read_document(given, templated, opts, dry_run)
  local yaml, locate = given, nil
  if templated then
    if opts.render then
      local answer, e = opts.render(given)
      if not answer then
        error({ passed_on = e or { stage = "client", message = "the dry run gave no spec" } }, 0)
      end
      yaml = answer
    else
      local options = setmetatable({ round = 1 }, { __index = opts })
      local result, e = dry_run(given, options)
      if not result then
        error({ passed_on = e }, 0)
      end
      yaml, locate = result.text, result.locate
    end
  end
  local tree, e = document.load(yaml)
  if tree == nil then
    local message = e.message:gsub("^line %d+[^:]*: ", "")
    error({ client = { stage = "client", line = e.line, message = "not YAML: " .. message } }, 0)
  end
  return tree,
    locate or function(path)
      return not templated and document.line(tree, path) or nil
    end
end

---@param source string
---@param opts table see pai.osmo.spec.client
---@param dry_run fun(text: string, opts: table): table?, table?
---@return table? plan
---@return table? failure of the client, or an error passed on
function M.plan(source, opts, dry_run)
  local locate
  local ok, plan = pcall(function()
    local given = as_text(source, "the spec")
    local templated = M.is_templated(given)
    local tree
    tree, locate = read_document(given, templated, opts, dry_run)
    load_local_files(tree, opts)
    if opts.put_env then
      put_env(tree, opts.put_env)
    end
    local workflow = value.dict_get(tree, "workflow")
    local name = value.dict_get(workflow, "name")
    return {
      templated = templated,
      template = templated and given or nil,
      text = yaml_dump.dump(tree),
      name = type(name) == "string" and name or nil,
      locate = locate,
    }
  end)
  if ok then
    return plan
  elseif type(plan) == "table" and plan.passed_on then
    return nil, plan.passed_on
  elseif type(plan) == "table" and plan.client then
    local failure = plan.client
    failure.line = failure.line or (failure.path and locate(failure.path))
    return nil, failure
  end
  error(plan, 0)
end

return M
