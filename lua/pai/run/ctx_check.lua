-- ctx.check: the checks that many gates share. Each function makes one check for a gate's list;
-- nothing is looked at before the gate runs it, so a list of them runs side by side.
local fs = require("pai.fs")
local semver = require("pai.semver")

local M = {}

local GIB <const> = 1024 * 1024 * 1024

local function tool_of(name)
  local ok, tool = pcall(require, "pai.tools." .. name)
  return ok and tool or nil
end

---What a tool says its version is.
---@param ctx table
---@param name string a file of lua/pai/tools with `version`
---@return pai.Version? version
---@return string said what it printed, for a message
function M.version_of(ctx, name)
  local tool = tool_of(name)
  assert(tool and tool.version, "lua/pai/tools has no version of " .. name)
  local argv = { name, table.unpack(tool.version.argv) }
  local r = ctx.query(argv, { accept = "any", timeout = "20s" })
  local said = r.stdout ~= "" and r.stdout or r.stderr
  local text = tool.version.parse and tool.version.parse(said, ctx) or said
  return text and semver.find(text), (said:match("[^\n]+") or ("exit code %s"):format(r.code))
end

---Adds `check` to a ctx.
---@param ctx table
---@param env pai.run.CtxEnv
---@return pai.ctx.check
function M.new(ctx, env)
  ---@class pai.ctx.check
  ---@field kube pai.ctx.check.kube what gates ask of a cluster
  local check = setmetatable({}, {
    __index = function(self, name)
      if name == "kube" then
        local kube = require("pai.run.ctx_check_kube").new(ctx)
        rawset(self, "kube", kube)
        return kube
      end
    end,
  })

  ---A program is on PATH.
  ---@param program string
  ---@param hint string? how it gets there
  ---@return table check
  function check.program(program, hint)
    return {
      name = program,
      expected = "on PATH",
      hint = hint or ("install %s, or put it on PATH"):format(program),
      run = function()
        local path = ctx.which(program)
        return { state = path and "ok" or "red", measured = path or "not found" }
      end,
    }
  end

  ---A program is there and new enough. Says what it printed when no version can be read from it.
  ---@param program string a file of lua/pai/tools with `version`
  ---@param minimum string "3.0.0"
  ---@param opts { below: string?, hint: string? }?
  ---@return table check
  function check.version(program, minimum, opts)
    opts = opts or {}
    local wanted = ">= " .. minimum .. (opts.below and ", < " .. opts.below or "")
    local tool = tool_of(program)
    local install = tool and tool.install and ": " .. tool.install or ""
    return {
      name = program .. " version",
      expected = wanted,
      hint = opts.hint or ("install %s %s%s"):format(program, wanted, install),
      run = function()
        if not ctx.which(program) then
          return { state = "red", measured = "not found on PATH" }
        end
        local version, said = M.version_of(ctx, program)
        if not version then
          return { state = "red", measured = "no version can be read from: " .. said }
        end
        local fits = semver.within(version, minimum, opts.below)
        return { state = fits and "ok" or "red", measured = version.text }
      end,
    }
  end

  ---A secret input has a value. Only its presence is looked at.
  ---@param name string the input
  ---@return table check
  function check.secret(name)
    local decl = (env.scope.loaded.doc.inputs or {})[name] or {}
    local variable = decl.env or name
    return {
      name = variable,
      expected = "set",
      hint = ("set %s in the environment or in .env: pai secret set %s"):format(variable, variable),
      run = function()
        local there = env.scope.inp[name] ~= nil
        return { state = there and "ok" or "red", measured = there and "set" or "not set" }
      end,
    }
  end

  ---A folder's file system has room. A folder that is not there yet counts as its nearest parent.
  ---@param path string
  ---@param gib number
  ---@return table check
  function check.disk(path, gib)
    return {
      name = "room on " .. path,
      expected = (">= %g GiB free"):format(gib),
      hint = "free some space, or choose another folder",
      run = function()
        local at = fs.abspath(path)
        while at ~= "/" and not fs.exists(at) do
          at = fs.dirname(at)
        end
        local free = ctx.fs.disk_free(at) / GIB
        return { state = free >= gib and "ok" or "red", measured = ("%.1f GiB"):format(free) }
      end,
    }
  end

  ---A URL answers.
  ---@param name string of the check
  ---@param request table as ctx.http takes it
  ---@param opts { status: integer?, hint: string?, explain: table<integer, string>? }?
  ---explain: hints by status
  ---@return table check
  function check.http(name, request, opts)
    opts = opts or {}
    local wanted = opts.status or 200
    return {
      name = name,
      expected = ("HTTP %d"):format(wanted),
      hint = opts.hint,
      run = function()
        local ask = { timeout = "15s", accept = "any" }
        for key, value in pairs(request) do
          ask[key] = value
        end
        local ok, answer = pcall(ctx.http, ask)
        if not ok then
          if type(answer) == "table" and answer.code == "ECANCELED" then
            error(answer, 0)
          end
          return { state = "red", measured = tostring(answer) }
        end
        return {
          state = answer.status == wanted and "ok" or "red",
          measured = ("HTTP %d"):format(answer.status),
          hint = opts.explain and opts.explain[answer.status] or nil,
        }
      end,
    }
  end

  return check
end

return M
