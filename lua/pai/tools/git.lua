-- git: what only looks.
return {
  name = "git",
  version = { argv = { "--version" } },
  reads = {
    { "--version" },
    { "status" },
    { "rev-parse" },
    { "ls-files" },
    { "log" },
    { "show" },
    { "check-ignore" },
    { "diff" },
  },
  refuse = { "--output", "--ext-diff", "--textconv" },
}
