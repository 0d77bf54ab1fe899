-- bubblewrap: its version.
return {
  name = "bwrap",
  reads = { { "--version" } },
}
