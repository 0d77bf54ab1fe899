-- curl: its version; pai's own requests go through ctx.http.
return {
  name = "curl",
  version = { argv = { "--version" } },
  reads = { { "--version" } },
}
