-- docker: its version and what runs; the embedded engine speaks to the daemon itself.
return {
  name = "docker",
  version = { argv = { "version", "--format", "{{.Server.Version}}" } },
  reads = {
    { "version" },
    { "info" },
    { "ps" },
    { "images" },
    { "inspect" },
    { "image", "inspect" },
    { "logs" },
    { "manifest", "inspect" },
  },
  wrap = function(_)
    return {}
  end,
}
