-- python3: its version. A script may do anything, so none is a reading command.
return {
  name = "python3",
  reads = { { "--version" }, { "-V" }, { "-I", "-m", "ensurepip", "--version" } },
}
