-- ctx.read and ctx.write, and the formats: JSON, YAML, digests.
local ctx_fs = require("pai.run.ctx_fs")
local err = require("pai.err")
local fs = require("pai.fs")
local guard = require("pai.run.ctx_guard")
local json = require("pai.json")
local mask = require("pai.mask")

local checked = guard.checked

local M = {}

-- JSON with secrets in it. The result may go where each of them may.
local function seal(env, value)
  local sealed = checked(json.seal(value))
  local decl
  local function look(inner, depth)
    if type(inner) == "table" and depth < 64 then
      for _, member in pairs(inner) do
        look(member, depth + 1)
      end
    elseif type(inner) == "userdata" and env.run.secret_decls[inner] then
      local known = env.run.secret_decls[inner]
      if decl and decl ~= known then
        err.raise("EINVAL", "ctx.json.seal takes values of one secret input")
      end
      decl = known
    end
  end
  look(value, 0)
  env.run.secret_decls[sealed] = decl
  return sealed
end

---@param env pai.run.CtxEnv
---@return table with read, write, json, yaml, hash
function M.new(env)
  local t = {}
  function t.read(path)
    path = ctx_fs.path(env, path)
    if fs.basename(path) == ".env" then
      err.raise("EACCES", path .. " holds secrets and is not read as text: declare an input")
    end
    return checked(fs.read(path))
  end
  function t.write(path, body, opts)
    path = ctx_fs.path(env, path)
    ctx_fs.check_change(env, "ctx.write", path)
    if type(body) ~= "string" then
      err.raise("EINVAL", "ctx.write takes text, not " .. type(body))
    elseif mask.text(body) ~= body then
      err.raise("EACCES", ("%s is not written: the text holds a secret"):format(path))
    end
    checked(fs.write(path, body, { mode = opts and opts.mode }))
    return path
  end
  t.json = {
    null = json.null,
    array = json.array,
    encode = function(value, opts)
      return checked(json.encode(value, opts))
    end,
    decode = function(body, opts)
      return checked(json.decode(body, opts))
    end,
    seal = function(value)
      return seal(env, value)
    end,
  }
  t.yaml = {
    encode = function(value, opts)
      return checked(require("pai.yaml").encode(value, opts))
    end,
    decode = function(body, opts)
      return checked(require("pai.yaml").decode(body, opts))
    end,
  }
  function t.hash(body)
    return require("pai.digest").sha256(body)
  end
  return t
end

return M
