-- ansible-playbook: its version. A playbook may do anything, so none is a reading command.
return {
  name = "ansible-playbook",
  version = {
    argv = { "--version" },
    parse = function(said)
      return said:match("%[core ([%d.]+)")
    end,
  },
  reads = { { "--version" } },
}
