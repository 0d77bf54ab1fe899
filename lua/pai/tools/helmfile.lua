-- helmfile: a set of releases in one file.
return {
  name = "helmfile",
  version = { argv = { "--version" } },
  reads = {
    { "--version" },
    { "version" },
    { "list" },
    { "status" },
    { "template" },
    { "lint" },
    { "diff" },
  },
  refuse = { "--output-dir", "--output-file-template" },
  wrap = function(ctx)
    local helmfile = {}

    ---Brings the releases of a file to what it says. The context is always named.
    ---@param file string
    ---@param opts { context: string, env: table?, timeout: string?, state_values: string? }
    function helmfile.apply(file, opts)
      local argv = { "helmfile", "apply", "--file", file, "--kube-context", assert(opts.context) }
      if opts.state_values then
        argv[#argv + 1] = "--state-values-file"
        argv[#argv + 1] = opts.state_values
      end
      ctx.exec(argv, { env = opts.env, timeout = opts.timeout or "30m" })
    end

    ---Removes the releases of a file.
    ---@param file string
    ---@param opts { context: string, timeout: string? }
    function helmfile.destroy(file, opts)
      local argv = { "helmfile", "destroy", "--file", file, "--kube-context", assert(opts.context) }
      ctx.exec(argv, { timeout = opts.timeout or "30m" })
    end

    return helmfile
  end,
}
