-- ctx.query and ctx.exec: the processes of a recipe.
local ctx_fs = require("pai.run.ctx_fs")
local err = require("pai.err")
local fs = require("pai.fs")
local guard = require("pai.run.ctx_guard")
local mask = require("pai.mask")

local M = {}

local REFUSED_OPTIONS <const> = {
  inherit_env = "name what the program needs in env",
}

-- Checks a command and its options; the copy has what pai adds.
local function exec_options(env, argv, opts)
  if type(argv) ~= "table" or type(argv[1]) ~= "string" then
    err.raise("EINVAL", "a command is a list of arguments, such as { 'ffmpeg', '-version' }")
  end
  local copy = {}
  for k, v in pairs(opts or {}) do
    if REFUSED_OPTIONS[k] then
      err.raise("EACCES", ("%s is not for recipes: %s"):format(k, REFUSED_OPTIONS[k]))
    end
    copy[k] = v
  end
  for _, stream in ipairs({ "stdin", "stdout", "stderr" }) do
    local where = copy[stream]
    if where == "inherit" then
      err.raise("EACCES", stream .. " = 'inherit' is not for recipes: the terminal is pai's")
    elseif type(where) == "table" and where.file then
      local target = {}
      for k, v in pairs(where) do
        target[k] = v
      end
      target.file = ctx_fs.path(env, where.file)
      if stream ~= "stdin" then
        ctx_fs.check_change(env, stream .. " to a file", target.file)
      end
      copy[stream] = target
    end
  end
  for name, value in pairs(copy.env or {}) do
    if type(value) == "string" and mask.find(value) then
      local message = "the environment variable %s is text that holds a secret: give its handle"
      err.raise("EACCES", message:format(name))
    end
    guard.check_secret(env, value, "bins", argv[1], function(entry)
      return entry == argv[1]
    end)
  end
  guard.check_secret(env, copy.stdin, "bins", argv[1], function(entry)
    return entry == argv[1]
  end)
  copy.cwd = copy.cwd and ctx_fs.path(env, copy.cwd) or env.cwd
  return copy
end

-- The last line of a program's output is what a person sees of a step that works.
local function observed(env, opts)
  local on_line = opts.on_line
  opts.on_line = function(line, stream)
    env.run:line(env.step, line, stream)
    if on_line then
      on_line(line, stream)
    end
  end
  return opts
end

---@param env pai.run.CtxEnv
---@return table with query, exec, which
function M.new(env)
  local t = {}
  function t.query(argv, opts)
    opts = exec_options(env, argv, opts)
    env.needs:check_read(argv)
    if not opts.timeout then
      opts.timeout = "60s"
    end
    return guard.called(require("pai.exec").run, argv, opts)
  end
  function t.exec(argv, opts)
    guard.act_only(env, "ctx.exec", "use ctx.query")
    opts = exec_options(env, argv, opts)
    env.needs:check_bin(argv[1])
    if opts.stdout == nil or opts.stdout == "capture" then
      opts = opts.raw and opts or observed(env, opts)
    end
    return guard.called(env.run.children.run, env.run.children, env.step, argv, opts)
  end
  function t.which(program)
    for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do
      local path = dir .. "/" .. program
      local st = fs.stat(path)
      if st and st.type == "file" and st.mode & 73 ~= 0 then -- 0111
        return path
      end
    end
  end
  return t
end

return M
