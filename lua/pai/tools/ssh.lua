-- ssh: commands on another machine. Nothing is asked: keys or an agent, known hosts only.
local OPTIONS <const> = {
  "-o",
  "BatchMode=yes",
  "-o",
  "StrictHostKeyChecking=yes",
  "-o",
  "ConnectTimeout=15",
}

return {
  name = "ssh",
  version = {
    argv = { "-V" },
    parse = function(said)
      return said:match("OpenSSH_(%d+%.%d+)")
    end,
  },
  reads = { { "-V" }, { "-G" } },
  wrap = function(ctx)
    local ssh = {}

    ---Runs a command on a machine. Each argument is quoted for the shell at the other end.
    ---@param host string "user@host", or a name of ~/.ssh/config
    ---@param argv string[]
    ---@param opts table? as ctx.exec
    ---@return pai.exec.result
    function ssh.run(host, argv, opts)
      local quoted = {}
      for i, word in ipairs(argv) do
        quoted[i] = "'" .. word:gsub("'", "'\\''") .. "'"
      end
      local command = { "ssh", table.unpack(OPTIONS) }
      command[#command + 1] = "--"
      command[#command + 1] = host
      command[#command + 1] = table.concat(quoted, " ")
      return ctx.exec(command, opts)
    end

    return ssh
  end,
}
